"""The Python client against a real service; everything holds for the sync one and for the async one alike."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from fovea import AsyncClient, Client, ServerProblem, ServiceLost
from fovea.answers import RecognitionAnswer, StepEvent
from fovea.errors import BudgetTooSmall, FoveaError, InvalidOption, Overloaded, UploadTooLarge, VideoUnreadable
from tests.serving import Served, serving
from tests.tiny import Gate, TinyRecognizer

Items = list[StepEvent | RecognitionAnswer]
Asker = Callable[..., Any]  # (url, video, **options of client and recognition) -> answer, or all items of the stream


def ask_sync(url: str, video: Any, *, stream: bool = False, retry_for_s: float = 0.0, **options: Any) -> Any:
    with Client(url, retry_for_s=retry_for_s) as fovea:
        return list(fovea.recognize_steps(video, **options)) if stream else fovea.recognize(video, **options)


def ask_async(url: str, video: Any, *, stream: bool = False, retry_for_s: float = 0.0, **options: Any) -> Any:
    async def ask() -> Any:
        async with AsyncClient(url, retry_for_s=retry_for_s) as fovea:
            if stream:
                return [item async for item in fovea.recognize_steps(video, **options)]
            return await fovea.recognize(video, **options)

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])


@both
def test_a_path_the_bytes_and_an_open_file_get_the_same_answer(
    served: Served, red_video: bytes, tmp_path: Path, ask: Asker
) -> None:
    path = tmp_path / "red.mp4"
    path.write_bytes(red_video)
    for video in (path, str(path), red_video, BytesIO(red_video)):
        answer = ask(served.url, video, max_gflops=0.16, top_k=2)
        assert isinstance(answer, RecognitionAnswer)
        assert [one.label for one in answer.predictions][:1] == ["red"]
        assert len(answer.predictions) == 2
        assert (answer.exit.reason, answer.compute.spent_gflops) == ("ceiling", 0.15)


@both
def test_steps_come_as_values_and_the_last_item_is_the_answer(served: Served, red_video: bytes, ask: Asker) -> None:
    *steps, answer = ask(served.url, red_video, stream=True)
    assert [type(step) for step in steps] == [StepEvent] * 3
    assert isinstance(answer, RecognitionAnswer)
    assert [step.cube and step.cube.box for step in steps] == [
        step.cube and step.cube.box for step in answer.compute.steps
    ]


def test_a_step_is_there_before_the_next_one_is_taken(red_video: bytes) -> None:
    gate = Gate("focus")
    with serving(TinyRecognizer(gate)) as served, Client(served.url) as fovea:
        steps = fovea.recognize_steps(red_video)
        first = next(steps)
        assert isinstance(first, StepEvent)
        assert first.kind == "glance"
        gate.open()
        assert isinstance(list(steps)[-1], RecognitionAnswer)


async def test_a_step_is_there_before_the_next_one_is_taken_async(red_video: bytes) -> None:
    gate = Gate("focus")
    with serving(TinyRecognizer(gate)) as served:
        async with AsyncClient(served.url) as fovea:
            steps = fovea.recognize_steps(red_video)
            assert (await anext(steps)).kind == "glance"
            gate.open()
            assert isinstance([step async for step in steps][-1], RecognitionAnswer)


def test_leaving_the_steps_early_cancels_the_rest(red_video: bytes) -> None:
    gate = Gate("focus")
    with serving(TinyRecognizer(gate)) as served:
        with Client(served.url) as fovea:
            steps = fovea.recognize_steps(red_video)
            next(steps)
            steps.close()
        served.wait_for_metric(1, "fovea_requests_total", model="tiny", outcome="cancelled")
        gate.open()


async def test_leaving_the_steps_early_cancels_the_rest_async(red_video: bytes) -> None:
    gate = Gate("focus")
    with serving(TinyRecognizer(gate)) as served:
        async with AsyncClient(served.url) as fovea, aclosing(fovea.recognize_steps(red_video)) as steps:
            await anext(steps)
        await asyncio.to_thread(served.wait_for_metric, 1, "fovea_requests_total", model="tiny", outcome="cancelled")
        gate.open()


@both
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_the_error_that_it_is_in_the_service(
    served: Served, red_video: bytes, ask: Asker, stream: bool
) -> None:
    with pytest.raises(BudgetTooSmall) as refusal:
        ask(served.url, red_video, stream=stream, max_gflops=0.05)
    assert refusal.value.extra["least_gflops"] == 0.1
    assert str(refusal.value.extra["instance"]).startswith("urn:fovea:request:req_")
    with pytest.raises(VideoUnreadable, match="send a complete video"):
        ask(served.url, b"no video at all", stream=stream)
    with pytest.raises(InvalidOption, match="did you mean 'top_k'"):
        ask(served.url, red_video, stream=stream, topk=1)
    with pytest.raises(UploadTooLarge, match="4194304 bytes allowed"):
        ask(served.url, bytes(5 * 2**20), stream=stream)


@both
def test_a_full_service_is_asked_again_when_it_says_so(red_video: bytes, ask: Asker) -> None:
    gate = Gate("glance")
    with (
        serving(TinyRecognizer(gate), max_queued_gflops=0.36) as served,  # two videos' full cost
        ThreadPoolExecutor(3) as pool,
    ):
        admitted = [pool.submit(served.post, red_video) for _ in range(2)]
        assert gate.reached.wait(10)
        while served.app.state.pipeline.admission.requests < 2:
            pass
        with pytest.raises(Overloaded):
            ask(served.url, red_video)
        patient = pool.submit(ask, served.url, red_video, retry_for_s=60)
        served.wait_for_metric(2, "fovea_requests_total", model="tiny", outcome="rejected")
        gate.open()
        assert patient.result(60).predictions[0].label == "red"
        assert [answer.result().status_code for answer in admitted] == [200, 200]


@both
def test_a_pipe_is_sent_too_and_can_be_sent_again(red_video: bytes, ask: Asker) -> None:
    with serving(ready=False) as served, ThreadPoolExecutor(1) as pool:
        reading, writing = os.pipe()

        def feed() -> None:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(red_video)

        fed = pool.submit(feed)
        with os.fdopen(reading, "rb") as pipe:
            assert ask(served.url, pipe, retry_for_s=60).predictions[0].label == "red"
        fed.result(10)


@contextmanager
def answering(*parts: bytes) -> Iterator[str]:
    """A server that reads one request and answers with these bytes, whatever was asked; then it is gone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                request = b""
                while b"--\r\n" not in request[-8:]:  # the form's closing boundary
                    request += connection.recv(65536)
                for part in parts:
                    connection.sendall(part)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
STEP = (
    b'id: 0\nevent: step\ndata: {"step":0,"kind":"glance","gflops":0.1,"entropy_nats":1.0,'
    b'"top":{"label":"red","score":0.5},"spent_gflops":0.1,"predictions":[]}\n\n'
)


@both
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (HEAD + b"Content-Length: 9999\r\n\r\n" + STEP, "went away in mid-answer"),
        (HEAD + b"Connection: close\r\n\r\n" + STEP, "ended its answer after 1 steps, without a result"),
        (b"", "went away in mid-answer"),
    ],
    ids=["cut", "ended", "nothing"],
)
def test_a_service_that_goes_away_is_said_to_and_not_asked_again(ask: Asker, answer: bytes, told: str) -> None:
    with answering(answer) as url, pytest.raises(ServiceLost, match=told):
        ask(url, b"video", stream=True, retry_for_s=60)


@both
@pytest.mark.parametrize(
    ("stream", "kind", "body", "error", "told"),
    [
        (False, b"application/json", b"{}", ServerProblem, "is it a Fovea service"),
        (True, b"text/html", b"hi", ServiceLost, "text/event-stream"),
    ],
)
def test_an_answer_that_is_none_of_fovea_s_is_told(
    ask: Asker, stream: bool, kind: bytes, body: bytes, error: type[FoveaError], told: str
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: 2\r\n\r\n%b" % (kind, body)
    with answering(answer) as url, pytest.raises(error, match=told):
        ask(url, b"video", stream=stream)


@both
def test_no_service_at_all_is_told_with_its_address(ask: Asker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unheard:  # bound and closed again: nobody listens there
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
    with pytest.raises(ServiceLost, match=f"{url} cannot be asked"):
        ask(url, b"video", retry_for_s=60)


def test_the_clients_load_nothing_of_the_service() -> None:
    program = "import sys, fovea; fovea.Client, fovea.AsyncClient; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "httpx" in loaded.stdout.split()
    assert not {"torch", "fastapi", "av", "numpy", "redis", "service", "video", "models"} & set(loaded.stdout.split())
