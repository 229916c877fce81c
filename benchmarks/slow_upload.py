"""What a client waits for after the last byte of a slow upload: bytes to label, less the time of the bytes themselves.

The service as it is served, the models that ship; each clip is sent at `--mbit` megabits a second, and as fast as it
goes, to a service that decodes once the upload is there and to one that begins before. The tail is by the client's
clock, from the last byte sent to the answer; its parts are the service's own. One client, so a child is always idle.
With `--by-url` the service fetches each clip, from a server that sends it at that rate and gives parts when asked.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx

from benchmarks.slow_server import PIECES_PER_S, SlowServer, slow_server
from service.wiring.recognising import load_models
from tests.clips import noise, write_clip
from tests.serving import Served, serving
from video.clip import VideoLimits
from video.file.scan import scan

FETCHES = {
    "url_http": True,
    "url_allowed_networks": (ip_network("127.0.0.0/8"),),
    "url_ports": ((1, 65535),),
    "url_silence_s": 60.0,
}
LIMITS = VideoLimits(duration_s=600.0, frame_pixels=3840 * 2160, frames=36_000)
X264 = {"preset": "veryfast", "crf": "30", "x264-params": "keyint=25:min-keyint=25:scenecut=0:bframes=0"}
FIRST = {"container_options": {"movflags": "faststart"}}
ONE_KEYFRAME = {"options": X264 | {"x264-params": "keyint=infinite:scenecut=0:bframes=0"}}
CLIPS: dict[str, dict[str, Any]] = {
    "720p-10s.mp4": {"seconds": 10, "size": (1280, 720), **FIRST},
    "720p-10s-one-keyframe.mp4": {"seconds": 10, "size": (1280, 720), **FIRST, **ONE_KEYFRAME},
    "720p-10s.mkv": {"seconds": 10, "size": (1280, 720)},
    "720p-10s.ts": {"seconds": 10, "size": (1280, 720)},
    "720p-10s-index-last.mp4": {"seconds": 10, "size": (1280, 720)},
    "1080p-2s.mp4": {"seconds": 2, "size": (1920, 1080), **FIRST},
    "240p-2s.mp4": {"seconds": 2, "size": (320, 240), **FIRST},
}


Sent = tuple[float, float, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Row:
    clip: str
    megabytes: float
    sent: str
    decoded: str
    upload_s: float
    tail_ms: float
    tail_share: float  # of upload and tail together
    scan_ms: float  # reading the packets' times, alone, in this process
    decode_ms: float  # scan, decoding and waiting for a child
    queue_ms: float
    inference_ms: float

    def __str__(self) -> str:
        return (
            f"{self.clip:25} {self.megabytes:5.1f} MB {self.sent:12} {self.decoded:6} upload {self.upload_s:6.2f} s, "
            f"tail {self.tail_ms:5.0f} ms ({self.tail_share:4.1%}): decode {self.decode_ms:4.0f} (of it scan "
            f"{self.scan_ms:3.0f}), queue {self.queue_ms:3.0f}, inference {self.inference_ms:3.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slow_upload", description=__doc__)
    parser.add_argument("--mbit", type=float, default=20.0, help="megabits a second of the slow upload")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=Path, help="where clips are kept between runs")
    parser.add_argument("--only", nargs="*", choices=CLIPS, default=list(CLIPS), help="clips")
    parser.add_argument("--by-url", action="store_true", help="have the clips fetched")
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    given = parser.parse_args()
    rows: list[Row] = []
    ways = ((f"at {given.mbit:g} Mbit/s", given.mbit * 1e6 / 8), ("at once", None))
    with tempfile.TemporaryDirectory() as folder:
        paths = [clip(given.clips or Path(folder), name) for name in given.only]
        with started(early=False) as later, started(early=True) as early, slow_server() as server:
            send = partial(fetched, server) if given.by_url else post
            for path in paths:
                for one in (later, early):
                    post(one.url, path.read_bytes(), None)  # warms up
                for sent, rate in ways:
                    found: dict[str, list[Sent]] = {"after": [], "before": []}
                    for _ in range(given.rounds):
                        for decoded, one in (("after", later), ("before", early)):
                            found[decoded].append(send(one.url, path.read_bytes(), rate))
                    for decoded, some in found.items():
                        rows.append(row_of(path, sent, decoded, some))
                        print(rows[-1], flush=True)
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def clip(folder: Path, name: str) -> Path:
    path = folder / name
    return path if path.exists() else write_clip(path, **{"pattern": noise, "options": X264} | CLIPS[name])


@contextmanager
def started(*, early: bool) -> Iterator[Served]:
    """A service, ready, with a decoding child per core."""
    settings = {"decode_timeout_s": 120.0, "decode_children": None, "decode_while_uploading": early} | FETCHES
    with serving(load=load_models, ready=False, **settings) as served:
        while served.client.get("/readyz").status_code != 200:
            time.sleep(0.2)
        yield served


def post(url: str, video: bytes, bytes_per_s: float | None) -> Sent:
    """(seconds until the last byte was sent, seconds from there to the answer, the service's own timing in ms)."""
    last_s = 0.0

    def pieces() -> Iterator[bytes]:
        nonlocal last_s
        size = len(video) if bytes_per_s is None else int(bytes_per_s / PIECES_PER_S)
        for start in range(0, len(video), size):
            if bytes_per_s is not None:
                time.sleep(max(0.0, begin_s + start / bytes_per_s - time.perf_counter()))
            last_s = time.perf_counter()
            yield video[start : start + size]

    headers = {"Content-Type": "video/mp4", "Content-Length": str(len(video))}
    begin_s = time.perf_counter()
    answer = httpx.post(f"{url}/v1/recognitions", content=pieces(), headers=headers, timeout=120, trust_env=False)
    end_s = time.perf_counter()
    if answer.status_code != 200:
        raise SystemExit(answer.text)
    timing: dict[str, float] = answer.json()["timing_ms"]
    return last_s - begin_s, end_s - last_s, timing


def fetched(server: SlowServer, url: str, video: bytes, bytes_per_s: float | None) -> Sent:
    """The same, where the service fetches the video from `server`."""
    server.content, server.bytes_per_s = video, bytes_per_s
    begin_s = time.perf_counter()
    answer = httpx.post(f"{url}/v1/recognitions", json={"url": server.url}, timeout=120, trust_env=False)
    end_s = time.perf_counter()
    if answer.status_code != 200:
        raise SystemExit(answer.text)
    timing: dict[str, float] = answer.json()["timing_ms"]
    return server.last_s - begin_s, end_s - server.last_s, timing


def row_of(path: Path, sent: str, decoded: str, found: list[Sent]) -> Row:
    upload_s = statistics.median(one[0] for one in found)
    tail_s = statistics.median(one[1] for one in found)
    begin_s = time.perf_counter()
    scan(str(path), LIMITS)
    scan_s = time.perf_counter() - begin_s

    def part(name: str) -> float:
        return statistics.median(one[2][name] for one in found)

    return Row(
        clip=path.name,
        megabytes=path.stat().st_size / 1e6,
        sent=sent,
        decoded=decoded,
        upload_s=upload_s,
        tail_ms=1000 * tail_s,
        tail_share=tail_s / (upload_s + tail_s),
        scan_ms=1000 * scan_s,
        decode_ms=part("decode"),
        queue_ms=part("queue"),
        inference_ms=part("inference"),
    )


if __name__ == "__main__":
    main()
