"""A client that a tool generated from /openapi.json asks this service and understands what it says."""

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Served, serving
from tests.tiny import Gate, TinyRecognizer

PACKAGE = "fovea_client"  # the generator makes it of the document's title


@pytest.fixture
def generated(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The generated client, bound to the running service; its modules are forgotten afterwards."""
    yield from generate(served, tmp_path, monkeypatch)


@pytest.fixture
def generated_for_a_slow_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Gate]]:
    """The same, bound to one whose first cube waits for the gate."""
    gate = Gate("focus")
    with serving(TinyRecognizer(gate)) as served:
        for client in generate(served, tmp_path, monkeypatch):
            yield client, gate
            gate.open()


def generate(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    document = tmp_path / "openapi.json"
    document.write_bytes(served.client.get("/openapi.json").content)
    command = [Path(sys.executable).with_name("openapi-python-client"), "generate"]
    done = subprocess.run(
        [*command, "--path", document, "--output-path", tmp_path / "made", "--meta", "setup"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(str(tmp_path / "made"))
    with import_module(PACKAGE).Client(base_url=served.url) as client:
        yield client
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def operation(name: str) -> Any:
    return import_module(f"{PACKAGE}.api.{name}")


def test_it_recognises_a_video_and_reads_the_answer(generated: Any, red_video: bytes) -> None:
    models = import_module(f"{PACKAGE}.models")
    file = import_module(f"{PACKAGE}.types").File(payload=io.BytesIO(red_video), file_name="red.mp4")
    body = models.RecognizeV1RecognitionsPostFilesBody(video=file)
    recognize = operation("recognitions.recognize_v1_recognitions_post")
    answer = recognize.sync(client=generated, body=body, top_k=2)
    assert isinstance(answer, models.RecognitionAnswer)
    assert len(answer.predictions) == 2
    assert answer.compute.spent_gflops > 0


def test_it_hands_in_a_job_reads_its_answer_and_cannot_cancel_it_afterwards(generated: Any, red_video: bytes) -> None:
    models = import_module(f"{PACKAGE}.models")
    file = import_module(f"{PACKAGE}.types").File(payload=io.BytesIO(red_video), file_name="red.mp4")
    body = models.RecognizeV1RecognitionsPostFilesBody(video=file)
    recognize = operation("recognitions.recognize_v1_recognitions_post")
    job = recognize.sync(client=generated, body=body, prefer="respond-async", idempotency_key="generated-1")
    assert isinstance(job, models.JobAnswer)
    show = operation("jobs.show_job_v1_jobs_job_get")
    give_up_s = time.monotonic() + 30
    while (shown := show.sync(job.id, client=generated)).state != "succeeded":
        assert time.monotonic() < give_up_s, shown
        time.sleep(0.05)
    assert isinstance(shown.result, models.RecognitionAnswer)
    assert shown.result.predictions[0].label == "red"
    refusal = operation("jobs.cancel_job_v1_jobs_job_delete").sync(job.id, client=generated)
    assert isinstance(refusal, models.Problem)
    assert (refusal.status, refusal.type_) == (409, "/problems/job-finished")
    listed = operation("jobs.list_jobs_v1_jobs_get").sync(client=generated)
    assert job.id in [one.id for one in listed.jobs]


def test_it_cancels_a_job(generated_for_a_slow_one: tuple[Any, Gate], red_video: bytes) -> None:
    generated, gate = generated_for_a_slow_one
    models = import_module(f"{PACKAGE}.models")
    file = import_module(f"{PACKAGE}.types").File(payload=io.BytesIO(red_video), file_name="red.mp4")
    body = models.RecognizeV1RecognitionsPostFilesBody(video=file)
    recognize = operation("recognitions.recognize_v1_recognitions_post")
    job = recognize.sync(client=generated, body=body, prefer="respond-async")
    assert gate.reached.wait(30)
    cancelled = operation("jobs.cancel_job_v1_jobs_job_delete").sync(job.id, client=generated)
    assert isinstance(cancelled, models.JobAnswer)
    gate.open()


def test_it_reads_a_refusal_as_a_problem(generated: Any, red_video: bytes) -> None:
    models = import_module(f"{PACKAGE}.models")
    file = import_module(f"{PACKAGE}.types").File(payload=io.BytesIO(red_video), file_name="red.mp4")
    body = models.RecognizeV1RecognitionsPostFilesBody(video=file)
    recognize = operation("recognitions.recognize_v1_recognitions_post")
    refusal = recognize.sync(client=generated, body=body, max_gflops=0.001)
    assert isinstance(refusal, models.Problem)
    assert refusal.status == 422
    assert "first step" in refusal.detail


def test_it_lists_models_with_their_prices(generated: Any) -> None:
    listed = operation("models.list_models_v1_models_get").sync(client=generated)
    assert [model.name for model in listed.models] == ["tiny"]
    assert listed.models[0].least_gflops > 0


def test_it_reads_a_timeline(generated: Any, red_video: bytes) -> None:
    models = import_module(f"{PACKAGE}.models")
    file = import_module(f"{PACKAGE}.types").File(payload=io.BytesIO(red_video), file_name="red.mp4")
    body = models.TimelineV1TimelinesPostFilesBody(video=file)
    timeline = operation("timelines.timeline_v1_timelines_post")
    answer = timeline.sync(client=generated, body=body, min_score=0.5)
    assert isinstance(answer, models.TimelineAnswer)
    assert [segment.label for segment in answer.segments] == ["red"]
    assert answer.end.reason == "complete"


def test_it_hands_in_a_timeline_as_a_job_and_reads_it_once_it_is_done(generated: Any, red_video: bytes) -> None:
    models = import_module(f"{PACKAGE}.models")
    file = import_module(f"{PACKAGE}.types").File(payload=io.BytesIO(red_video), file_name="red.mp4")
    body = models.TimelineV1TimelinesPostFilesBody(video=file)
    timeline = operation("timelines.timeline_v1_timelines_post")
    job = timeline.sync(client=generated, body=body, prefer="respond-async", idempotency_key="generated-timeline")
    assert isinstance(job, models.JobAnswer)
    show = operation("jobs.show_job_v1_jobs_job_get")
    give_up_s = time.monotonic() + 30
    while (shown := show.sync(job.id, client=generated)).state != "succeeded":
        assert time.monotonic() < give_up_s, shown
        time.sleep(0.05)
    assert shown.kind == "timeline"
    assert isinstance(shown.result, models.TimelineAnswer)
    assert [segment.label for segment in shown.result.segments] == ["red"]


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("recognitions.recognize_v1_recognitions_post", "RecognizeV1RecognitionsPostJsonBody"),
        ("timelines.timeline_v1_timelines_post", "TimelineV1TimelinesPostJsonBody"),
    ],
)
def test_it_says_where_a_video_is_and_reads_why_it_is_not_fetched(generated: Any, route: str, body: str) -> None:
    models = import_module(f"{PACKAGE}.models")
    asked = getattr(models, body)(url="https://127.0.0.1/clip.mp4")
    refusal = operation(route).sync(client=generated, body=asked)
    assert isinstance(refusal, models.Problem)
    assert (refusal.type_, refusal["option"]) == ("/problems/invalid-option", "url")
