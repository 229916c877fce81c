"""Cameras that flap for as long as one likes: is anything lost or doubled, does anything grow?

Each camera is followed twice: by one client that stays, and by one that hangs up every few seconds and goes on with
`Last-Event-ID`. Both must have heard the same. Not part of `make bench`: an hour is an hour.

    python -m benchmarks.streams_soak --minutes 60
"""

import argparse
import contextlib
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
import psutil

from benchmarks.streams_serving import service_process
from tests.cameras import Camera, camera
from tests.clips import moving_square, write_clip
from tests.streaming import Follower, Heard, subscribe

FPS = 10
HANG_UP_EVERY_S = 7.0


@dataclass
class Sample:
    """Of the service and its children together."""

    rss_mib: float
    fds: int
    threads: int
    children: int


@dataclass
class Report:
    """What was seen. `samples` are taken evenly over the whole time, warm-up left out."""

    seconds: float
    cameras: int
    flaps: int = 0
    interrupted: int = 0  # clients that meant to stay and lost the service: what they missed counts as lost, too
    results: int = 0
    lost: list[str] = field(default_factory=list)  # ids that one client heard and the other did not
    disordered: list[str] = field(default_factory=list)  # ids not larger than the one before: doubled or out of order
    samples: list[Sample] = field(default_factory=list)

    def growth(self, name: str) -> float:
        """Median of the last quarter less median of the first."""
        values = [getattr(sample, name) for sample in self.samples]
        quarter = max(1, len(values) // 4)
        return statistics.median(values[-quarter:]) - statistics.median(values[:quarter])


class Restless:
    """A client that comes back again and again with the id of the last event it heard."""

    def __init__(self, url: str, stream: str, last_id: str) -> None:
        self.heard: list[Heard] = []
        self._url, self._stream, self._last_id = url, stream, last_id
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="restless", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            follower = Follower(self._url, self._stream, self._last_id)
            self._over.wait(HANG_UP_EVERY_S)
            follower.close()
            self.heard += drained(follower)
            if self.heard:
                self._last_id = str(self.heard[-1].id)

    def close(self) -> None:
        self._over.set()
        self._thread.join()


def drained(follower: Follower) -> list[Heard]:
    """Everything that a closed follower had heard."""
    while follower.next() is not None:
        pass
    return [heard for heard in follower.heard if heard.id is not None]


def soak(
    client: httpx.Client, process: psutil.Process, cams: Sequence[Camera], *, seconds: float, flap_every_s: float
) -> Report:
    """Watch `cams` for so long, kicking each of them so often, one after the other."""
    url = str(client.base_url)
    streams = [subscribe(client, cam.url(), window_s=2.0, stride_s=1.0) for cam in cams]
    steady = [Follower(url, stream, "0-0") for stream in streams]
    first_ids = [str(follower.wait_for_result().id) for follower in steady]
    restless = [Restless(url, stream, first_id) for stream, first_id in zip(streams, first_ids, strict=True)]
    report = Report(seconds, len(cams))
    began_s = time.monotonic()
    next_flap_s, next_sample_s, sample_every_s = began_s, began_s + seconds / 20, seconds / 60
    while (now_s := time.monotonic()) < began_s + seconds:
        if now_s >= next_flap_s:
            cams[report.flaps % len(cams)].tell("kick")
            report.flaps += 1
            next_flap_s += flap_every_s / len(cams)
        if now_s >= next_sample_s:
            report.samples.append(sample_of(process))
            next_sample_s += sample_every_s
        time.sleep(max(0.0, min(next_flap_s, next_sample_s, began_s + seconds) - time.monotonic()))
    for client_of_one in restless:
        client_of_one.close()
    for follower, other, first_id in zip(steady, restless, first_ids, strict=True):
        report.interrupted += follower.has_ended
        follower.close()
        compare(report, drained(follower), other.heard, first_id)
    for stream in streams:
        client.delete(f"/v1/streams/{stream}")
    return report


def compare(report: Report, steady: list[Heard], restless: list[Heard], first_id: str) -> None:
    """Both heard everything after `first_id`, up to when the restless one left."""
    report.results += sum(heard.name == "result" for heard in steady)
    ids = [str(heard.id) for heard in steady]
    after = ids[ids.index(first_id) + 1 :]
    theirs = [str(heard.id) for heard in restless]
    for heard in (steady, restless):
        report.disordered += [str(two.id) for one, two in pairwise(heard) if two.key <= one.key]
    last = restless[-1].key if restless else (0, 0)
    expected = {str(heard.id) for heard in steady if heard.key <= last} & set(after)
    report.lost += sorted(expected ^ set(theirs))


def sample_of(process: psutil.Process) -> Sample:
    family = [process, *process.children(recursive=True)]
    rss = fds = threads = 0
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            rss += member.memory_info().rss
            fds += member.num_fds()
            threads += member.num_threads()
    return Sample(rss / 2**20, fds, threads, len(family) - 1)


@contextlib.contextmanager
def flapping_cameras(num_cameras: int, folder: Path) -> Iterator[list[Camera]]:
    """Small ones, each a server of its own, so that each can be kicked alone."""
    file = write_clip(
        folder / "soak.mp4",
        seconds=8,
        fps=FPS,
        size=(320, 180),
        gop=FPS,
        pattern=moving_square,
        options={"tune": "zerolatency", "bf": "0"},
    )
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(camera(file, fps=FPS)) for _ in range(num_cameras)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams_soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--flap-every-s", type=float, default=60.0, help="each camera is kicked so often")
    parser.add_argument("--json", type=Path, help="where to write the report")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        flapping_cameras(asked.cameras, Path(folder)) as cams,
        service_process() as (client, process),
    ):
        report = soak(client, process, cams, seconds=asked.minutes * 60, flap_every_s=asked.flap_every_s)
    print(
        f"{report.cameras} cameras for {report.seconds / 60:g} minutes, {report.flaps} flaps, {report.results} results"
    )
    print(f"clients that stayed and were interrupted: {report.interrupted}")
    print(f"lost between reconnects: {len(report.lost)}, doubled or out of order: {len(report.disordered)}")
    for name in ("rss_mib", "fds", "threads", "children"):
        values = [getattr(sample, name) for sample in report.samples]
        print(f"{name}: {values[0]:.0f} at first, {values[-1]:.0f} at last, growth {report.growth(name):+.1f}")
    if asked.json is not None:
        asked.json.write_text(json.dumps(asdict(report), indent=1))


if __name__ == "__main__":
    main()
