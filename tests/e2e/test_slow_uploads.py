"""Over HTTP: a slow upload is decoded while it arrives, answered as any other, and holds up nobody.

That frames were decoded before the last byte is seen by events, not by clocks: the only child has read what came, then
another video takes it away, and only then is the rest sent.
"""

import gzip
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.clips import cached_clip, frozen, noise
from tests.serving import Served, serving

PIECES = 10
FIRST = frozen(movflags="faststart")
LONG = {"seconds": 4, "pattern": noise, "size": (320, 240), "gop": 40}
VIDEOS = {
    "a.mp4": {"container_options": FIRST},
    "one-keyframe.mp4": {"container_options": FIRST, "gop": 1000},
    "a.mkv": {},
    "a.webm": {"codec": "libvpx-vp9", "options": frozen(cpu_used="8", deadline="realtime")},
}
RAW = {"Content-Type": "video/mp4"}
HEAD, TAIL = (
    b'--x\r\nContent-Disposition: form-data; name="video"; filename="a"\r\nContent-Type: video/mp4\r\n\r\n',
    b"\r\n--x--\r\n",
)
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def content_of(name: str) -> bytes:
    return cached_clip(f"slow-{name}", **LONG | VIDEOS[name]).read_bytes()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(decode_children=1) as one:
        yield one


def slowly(body: bytes, meanwhile: Callable[[], None]) -> Iterator[bytes]:
    """The body in pieces; `meanwhile` is called before the last two."""
    size = -(-len(body) // PIECES)
    for number in range(PIECES):
        time.sleep(0.1)
        if number == PIECES - 2:
            meanwhile()
        yield body[number * size : (number + 1) * size]


def send(served: Served, body: bytes, meanwhile: Callable[[], None], **headers: str) -> dict[str, Any]:
    answer = httpx.post(
        f"{served.url}/v1/recognitions", content=slowly(body, meanwhile), headers=headers, timeout=60, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def until(condition: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


def sandbox_of(served: Served) -> Any:
    return served.app.state.pipeline._decoding._sandbox


def most_read(served: Served) -> int:
    """How far the children have read in uploads that they have open."""
    files = [file for pid in sandbox_of(served).pids for file in psutil.Process(pid).open_files()]
    return max((file.position for file in files if file.path.endswith(".upload")), default=0)


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """What of an answer does not tell when it was given."""
    return {name: value for name, value in answer.items() if name not in {"id", "timing_ms", "created_at"}}


def used(served: Served) -> float:
    return served.metric("fovea_early_frames_total", outcome="used")


@pytest.mark.parametrize(
    ("name", "how"),
    [*((name, "raw") for name in VIDEOS), ("a.mp4", "announced"), ("a.mp4", "form"), ("a.mp4", "gzip")],
)
def test_frames_are_decoded_before_the_last_byte_and_the_answer_is_the_same(
    served: Served, name: str, how: str
) -> None:
    content, used_before = content_of(name), used(served)
    expected = served.post(content).json()
    assert used(served) == used_before  # what comes at once is not begun

    def another_takes_the_child() -> None:
        until(lambda: most_read(served) > len(content) // 2)
        assert served.post(content).status_code == 200  # though the first stands still
        until(lambda: sandbox_of(served).num_following == 0)

    match how:
        case "raw":
            answer = send(served, content, another_takes_the_child, **RAW)
        case "announced":
            answer = send(served, content, another_takes_the_child, **RAW | {"Content-Length": str(len(content))})
        case "form":
            body = HEAD + content + TAIL
            answer = send(served, body, another_takes_the_child, **FORM | {"Content-Length": str(len(body))})
        case _:
            packed = gzip.compress(content, 1)
            answer = send(served, packed, another_takes_the_child, **RAW | {"Content-Encoding": "gzip"})
    assert used(served) > used_before
    decoded = "frames_decoded"  # one keyframe's frames were decoded twice: the child was taken away
    assert answer["video"].pop(decoded) >= expected["video"].pop(decoded)
    for one in (answer, expected):
        [step.pop(decoded) for step in one["compute"]["steps"]]
    assert told(answer) == told(expected)
    timing = answer["timing_ms"]
    assert timing["decode"] == timing["decode_steps"][0]
    assert timing["total"] >= timing["upload"] + timing["decode"]


def test_left_alone_all_of_it_is_decoded_by_the_child_that_followed(served: Served) -> None:
    content, used_before = content_of("one-keyframe.mp4"), used(served)
    expected = served.post(content).json()
    answer = send(served, content, lambda: until(lambda: most_read(served) > len(content) // 2), **RAW)
    assert used(served) == used_before + expected["video"]["frames_sampled"]
    assert told(answer) == told(expected)


def test_every_video_of_a_form_is_decoded_while_it_arrives(served: Served) -> None:
    contents = [content_of("a.mp4"), content_of("one-keyframe.mp4")]
    expected = [served.post(content).json() for content in contents]
    size, used_before = max(map(len, contents)), used(served)
    body = HEAD + contents[0] + b"\r\n" + HEAD + contents[1] + TAIL
    answers = send(served, body, lambda: until(lambda: most_read(served) > size // 4), **FORM)["recognitions"]
    assert [told(answer)["predictions"] for answer in answers] == [told(one)["predictions"] for one in expected]
    assert used(served) > used_before


def test_a_client_that_leaves_gives_the_child_back(served: Served, tmp_path: Path) -> None:
    content = content_of("a.mp4")
    with socket.create_connection(("127.0.0.1", served.port)) as line:
        head = "POST /v1/recognitions HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\n"
        head += f"Content-Length: {2 * len(content)}\r\n\r\n"
        line.sendall(head.encode())
        for piece in slowly(content[: len(content) * 3 // 4], lambda: None):
            line.sendall(piece)
        until(lambda: most_read(served) > len(content) // 4)
    until(lambda: sandbox_of(served).num_following == 0)
    assert served.post(content).status_code == 200


def test_an_upload_that_stops_once_frames_are_decoded_is_told_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    content = content_of("a.mp4")
    most = content[: len(content) * 9 // 10]
    with serving(decode_children=1, upload_timeout_s=4.0, spool_dir=tmp_path) as served:
        with socket.create_connection(("127.0.0.1", served.port)) as line:
            head = "POST /v1/recognitions HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\n"
            line.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode())
            for piece in slowly(most, lambda: None):
                line.sendall(piece)
            until(lambda: most_read(served) > len(content) // 2)
            line.settimeout(30)
            assert line.recv(65536).startswith(b"HTTP/1.1 408")
        until(lambda: sandbox_of(served).num_following == 0)
        assert served.post(content).status_code == 200
        until(lambda: not list(tmp_path.iterdir()))
        shortened = served.post(most)  # as a whole body, it is the video up to there; below 80 % it is refused
    assert shortened.status_code == 200, shortened.text
    assert shortened.json()["video"]["frames_missing"] > 0


def test_a_body_that_is_no_video_behind_a_good_head_is_refused_as_ever(served: Served) -> None:
    content = content_of("a.mp4")
    broken = content[: len(content) // 3] + bytes(len(content))
    answers = [
        served.post(broken),
        httpx.post(
            f"{served.url}/v1/recognitions",
            content=slowly(broken, lambda: None),
            headers=RAW,
            timeout=60,
            trust_env=False,
        ),
    ]
    problems = [
        {key: value for key, value in one.json().items() if key not in {"request_id", "instance"}} for one in answers
    ]
    assert answers[0].status_code == answers[1].status_code == 422
    assert problems[0] == problems[1]


def test_it_can_be_switched_off() -> None:
    content = content_of("a.mp4")
    with serving(decode_while_uploading=False) as served:
        followed: list[int] = []
        send(served, content, lambda: followed.append(sandbox_of(served).num_following), **RAW)
        assert followed == [0]
        assert used(served) == 0
