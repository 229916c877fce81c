"""Whatever is wrong with a request, it gets the right problem soon, and a good video posted alongside its answer.

Bounds on time are generous: they tell a hang from an answer, not a fast machine from a slow one.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.clips import cached_clip, frozen, noise, write_audio, write_clip
from tests.serving import Served, serving
from tests.tiny import Gate, TinyRecognizer

from .conftest import RED

BOUND_S = 10.0
HEAD = "POST /v1/recognitions HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\n"
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def refused_beside_a_good_one(
    served: Served, good: bytes, post_bad: Callable[[], httpx.Response], status: int, slug: str
) -> dict:
    """Post both at once: the bad one is refused so, the good one answered. Returns the problem."""
    started_s = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        beside, bad = pool.submit(served.post, good), pool.submit(post_bad)
        refusal, answer = bad.result(), beside.result()
    assert time.monotonic() - started_s < BOUND_S
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["label"] == "red"
    assert (refusal.status_code, refusal.headers["content-type"]) == (status, "application/problem+json"), refusal.text
    problem: dict = refusal.json()
    assert problem["type"] == f"/problems/{slug}", problem
    assert problem["status"] == status
    assert problem["detail"]
    assert "Traceback" not in refusal.text
    assert "/tmp" not in problem["detail"], "a problem names no file of ours"
    return problem


@pytest.fixture
def refused(served: Served, red_video: bytes) -> Callable[..., dict]:
    """`refused(body, status, slug)`: what a raw body gets, posted beside a good one."""

    def post(body: bytes, status: int, slug: str, query: str = "", **headers: str) -> dict:
        return refused_beside_a_good_one(served, red_video, lambda: served.post(body, query, **headers), status, slug)

    return post


Refused = Callable[..., dict]


def test_an_empty_body(refused: Refused) -> None:
    refused(b"", 422, "invalid-upload")


def test_text_named_mp4(refused: Refused) -> None:
    refused(b"this is not a video, whatever its name says\n" * 100, 422, "video-unreadable")


def test_random_bytes(refused: Refused) -> None:
    refused(os.urandom(100_000), 422, "video-unreadable")


def test_an_mp4_without_its_moov(refused: Refused, red_video: bytes) -> None:
    assert red_video.index(b"moov") > red_video.index(b"mdat"), "the index is at the end, and is cut off"
    refused(red_video[: red_video.index(b"moov") - 4], 422, "video-unreadable")


def test_a_video_whose_pictures_are_cut_off(refused: Refused, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "front.mp4", container_options={"movflags": "faststart"}, seconds=2)
    data = path.read_bytes()
    refused(data[: data.index(b"mdat") + 200], 422, "video-unreadable")


def test_audio_only(refused: Refused, tmp_path: Path) -> None:
    refused(write_audio(tmp_path / "a.mp4").read_bytes(), 422, "no-video-stream")


def test_a_claim_of_16k_by_16k(refused: Refused, tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.webm", codec="libvpx", size=(320, 272)).read_bytes()
    for old, new in (
        (b"\xb0\x82\x01\x40", b"\xb0\x82\x3f\xff"),  # Matroska's PixelWidth
        (b"\xba\x82\x01\x10", b"\xba\x82\x3f\xff"),  # and PixelHeight
        (b"\x9d\x01\x2a\x40\x01\x10\x01", b"\x9d\x01\x2a\xff\x3f\xff\x3f"),  # VP8's own, 14 bits each
    ):
        assert old in data
        data = data.replace(old, new)
    problem = refused(data, 422, "video-limit-exceeded")
    assert "16383" in problem["detail"]


def test_a_claim_of_ten_hours(refused: Refused, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "long.mp4", times_s=[0.0, 1.0, 36_000.0], size=(64, 48))
    problem = refused(path.read_bytes(), 422, "video-limit-exceeded")
    assert "600" in problem["detail"], "the rule is named"


@pytest.mark.parametrize(
    "playlist", ["ffconcat version 1.0\nfile '{other}'\n", "#EXTM3U\n#EXTINF:1,\n{other}\n", "{other}"]
)
def test_a_playlist_reads_no_other_file(refused: Refused, playlist: str) -> None:
    other = cached_clip("red.mp4", pattern=RED, seconds=1.0)
    refused(playlist.format(other=other).encode(), 422, "video-unreadable")


def test_more_frames_than_allowed(red_video: bytes) -> None:
    with serving(max_frames=24, decode_children=2) as served:  # the red video has 25
        assert served.post(red_video).json()["type"] == "/problems/video-limit-exceeded"


@pytest.mark.parametrize(
    ("query", "slug", "told"),
    [
        ("?model=unheard-of", "unknown-model", "tiny"),
        ("?task=unheard-of", "unknown-model", "colours"),
        ("?budget_gflops=0.05", "budget-too-small", "0.1"),
        ("?max_gflops=0.099999", "budget-too-small", "0.1"),
        ("?budget_gflops=1e-30", "budget-too-small", "0.1"),
        ("?budget_gflops=nan", "invalid-option", "budget_gflops='nan'"),
        ("?max_gflops=inf", "invalid-option", "max_gflops='inf'"),
        ("?budget_gflops=-1", "invalid-option", "above 0"),
        ("?max_gflops=1e30", "invalid-option", "at most 1e+09"),
        ("?deadline_ms=99999999999999999999", "invalid-option", "deadline_ms"),
        ("?deadline_ms=0.5", "invalid-option", "whole number"),
        ("?top_k=0", "invalid-option", "from 1 to"),
        ("?top_k=lots", "invalid-option", "top_k='lots'"),
        ("?priority=high", "invalid-option", "no option 'priority'"),
        ("?budget_gflop=1", "invalid-option", "did you mean 'budget_gflops'"),
        ("?top_k=1&top_k=2", "invalid-option", "more than once"),
    ],
)
def test_an_option_that_cannot_be(refused: Refused, red_video: bytes, query: str, slug: str, told: str) -> None:
    assert told in refused(red_video, 422, slug, query)["detail"]


def test_a_form_field_is_as_strict_as_the_query(served: Served, red_video: bytes) -> None:
    def post(query: str = "", **fields: str) -> httpx.Response:
        return served.client.post(f"/v1/recognitions{query}", data=fields, files={"video": red_video})

    assert post(top_k="1").status_code == 200
    refused_beside_a_good_one(served, red_video, lambda: post(top_k="0"), 422, "invalid-option")
    refused_beside_a_good_one(served, red_video, lambda: post(priority="1"), 422, "invalid-option")
    refused_beside_a_good_one(served, red_video, lambda: post("?top_k=1", top_k="2"), 422, "invalid-option")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "image/png"]
)
def test_another_content_type(refused: Refused, content_type: str) -> None:
    refused(b"{}", 415, "unsupported-media-type", **{"Content-Type": content_type})


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"no form at all", 400, "malformed-upload"),
        (b'--b\r\nContent-Disposition: form-data; name="video"\r\n\r\nhalf a vid', 400, "malformed-upload"),
        (b'--b\r\nContent-Disposition: form-data; name="video"\r\n\r\n\r\n--b--\r\n', 422, "invalid-upload"),
        (b'--b\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n1\r\n--b--\r\n', 422, "invalid-upload"),
    ],
    ids=["no form", "cut half way", "empty video", "no video"],
)
def test_a_form_that_cannot_be(refused: Refused, body: bytes, status: int, slug: str) -> None:
    refused(body, status, slug, **FORM)


def test_an_upload_cut_half_way_costs_nothing(served: Served, red_video: bytes, tmp_path: Path) -> None:
    before = served.metric("fovea_requests_total", model="tiny", outcome="cancelled")
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        head = f"{HEAD}Content-Length: {len(red_video)}\r\n\r\n"
        client.sendall(head.encode() + red_video[: len(red_video) // 2])
        assert served.post(red_video).status_code == 200
    served.wait_for_metric(before + 1, "fovea_requests_total", model="tiny", outcome="cancelled")
    assert served.app.state.pipeline.admission.requests == 0


def test_an_upload_that_comes_too_slowly(red_video: bytes) -> None:
    with serving(upload_timeout_s=0.5) as served, socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(f"{HEAD}Content-Length: 9999\r\n\r\nx".encode())
        client.settimeout(BOUND_S)
        head, _, body = client.recv(65536).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in head.lower()
        problem = json.loads(body or client.recv(65536))
        assert problem["type"] == "/problems/upload-timeout"
        assert served.post(red_video).status_code == 200


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("large") / "large.mp4"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    yield path
    path.unlink()


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 65536):
        yield bytes(65536)


def test_too_large_an_upload_is_refused_whether_announced_or_not(served: Served, red_video: bytes) -> None:
    def announced() -> httpx.Response:
        return served.post(bytes(100 * 2**20))

    def unannounced() -> httpx.Response:
        return served.client.post(
            "/v1/recognitions", content=chunks(100 * 2**20), headers={"Content-Type": "video/mp4"}
        )

    def in_a_form() -> httpx.Response:
        return served.client.post("/v1/recognitions", files={"video": bytes(100 * 2**20)})

    for post in (announced, unannounced, in_a_form):
        problem = refused_beside_a_good_one(served, red_video, post, 413, "upload-too-large")
        assert problem["max_bytes"] == 4 * 2**20


@pytest.mark.parametrize("how", [("-F", "video=@{}"), ("-H", "Content-Type: video/mp4", "--data-binary", "@{}")])
@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
@pytest.mark.parametrize(("query", "status"), [("", 413), ("?top_k=0", 422)])
def test_curl_sees_why_its_large_upload_is_refused(
    served: Served, large_file: Path, how: tuple[str, ...], expect: str, query: str, status: int
) -> None:
    command = ["curl", "-sS", "-m", "20", "-H", expect, *(part.format(large_file) for part in how)]
    told = subprocess.run(
        [*command, f"{served.url}/v1/recognitions{query}"], capture_output=True, timeout=30, check=False
    )
    assert (told.returncode, told.stderr) == (0, b"")
    assert json.loads(told.stdout)["status"] == status


def test_a_large_upload_leaves_memory_flat(served: Served, red_video: bytes) -> None:
    process = psutil.Process()
    served.post(red_video)
    before_bytes = process.memory_info().rss
    with serving(max_upload_bytes=2**30) as roomy:
        refused = roomy.client.post(
            "/v1/recognitions", content=chunks(256 * 2**20), headers={"Content-Type": "video/mp4"}, timeout=60
        )
        assert refused.status_code == 422
        assert process.memory_info().rss - before_bytes < 64 * 2**20


def test_too_many_at_once(red_video: bytes) -> None:
    gate = Gate("glance")
    with serving(TinyRecognizer(gate), max_queued_gflops=0.2) as served, ThreadPoolExecutor(1) as pool:
        first = pool.submit(served.post, red_video)
        assert gate.reached.wait(10)
        for body in (red_video, bytes(100 * 2**20)):  # before its body is read, however large
            refused = served.post(body)
            assert (refused.status_code, refused.json()["type"]) == (429, "/problems/overloaded")
            assert int(refused.headers["retry-after"]) >= 1
        gate.open()
        assert first.result().status_code == 200


def children_of(served: Served) -> list[int]:
    pids: list[int] = served.app.state.pipeline._decoding._sandbox.pids
    return pids


def test_a_decode_that_hangs_is_ended(red_video: bytes) -> None:
    with serving(decode_children=2, decode_timeout_s=1.0) as served:
        stopped, _ = children_of(served)
        os.kill(stopped, signal.SIGSTOP)
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(served.post, [red_video] * 2))
        hung, good = sorted(answers, key=lambda answer: -answer.status_code)
        assert (good.status_code, hung.status_code) == (200, 422)
        assert hung.json()["type"] == "/problems/decode-timeout"
        assert [served.post(red_video).status_code for _ in range(4)] == [200] * 4, "it was replaced"
        assert stopped not in children_of(served)


def test_a_decoding_process_that_dies_costs_its_own_request_time_and_the_others_nothing(
    red_video: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    quick = frozen(preset="ultrafast")
    slow_video = cached_clip("slow.mp4", pattern=noise, size=(960, 544), gop=1000, options=quick).read_bytes()
    with serving(decode_children=2) as served, ThreadPoolExecutor(2) as pool:

        def post_and_kill() -> tuple[httpx.Response, httpx.Response]:
            slow = pool.submit(served.post, slow_video)
            children = served.app.state.pipeline._decoding._sandbox._children
            while not (busy := [child for child in children if child.is_busy]):
                assert not slow.done(), slow.result().text
            time.sleep(0.02)  # by now it has the video, which takes a multiple of this
            good = pool.submit(served.post, red_video)
            os.kill(busy[0].pid, signal.SIGKILL)
            return slow.result(), good.result()

        for _ in range(10):  # on a busy machine the blow may come before the video, or after the last frame
            crashed, good = post_and_kill()
            assert (crashed.status_code, good.status_code) == (200, 200)
            if "died on a video" in caplog.text:
                break
        else:
            pytest.fail("no process died while it worked")
        assert [served.post(red_video).status_code for _ in range(4)] == [200] * 4, "it was replaced"
