"""What it costs to sample 16 frames of 10 s of 720p H.264, by each way to do it, and what a child process adds; what is
saved where only those frames are decoded that the shipped model's steps look at (decision 0047).

Rounds are interleaved, so that a noisy machine is noisy for all; the ratios are the result, the milliseconds the day's.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np

from models import available_models
from models.adafocus.config import AdaFocusConfig
from models.bundle import Bundle
from tests.clips import noise, write_clip
from video.children.sandbox import Sandbox
from video.clip import ClipRule, FirstLook, VideoLimits
from video.file.decode import decode
from video.file.picture import Painter
from video.file.scan import scan

ROUNDS = 5
LIMITS = VideoLimits(duration_s=600.0, frame_pixels=3840 * 2160, frames=36_000)
EXACT = ClipRule(num_frames=16, height_px=224, width_px=224, resize="letterbox")
FEW = ClipRule(num_frames=8, height_px=224, width_px=224, resize="letterbox")  # a keyframe in each segment at GOP 25
GOPS = (250, 25)
SHIPPED = "adafocus-v3-compact"
LOOKED_AT = (("10 s, 720p", 10, (1280, 720)), ("2 s, 1080p", 2, (1920, 1080)))


@dataclass(frozen=True, slots=True)
class Measurement:
    video: str
    way: str
    frames_decoded: int
    median_ms: float
    least_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode", description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measurements = []
        for gop in GOPS:
            path = Path(folder) / f"gop{gop}.mp4"
            write_clip(path, seconds=10, size=(1280, 720), gop=gop, pattern=noise, options={"preset": "veryfast"})
            measurements += measure(f"10 s, 720p, GOP {gop}", ways(path))
        for name, seconds, size in LOOKED_AT:
            for gop in GOPS:
                path = Path(folder) / f"{name}-{gop}.mp4"
                write_clip(path, seconds=seconds, size=size, gop=gop, pattern=noise, options={"preset": "veryfast"})
                measurements += measure(f"{name}, GOP {gop}", ways_of_the_shipped_model(path))
        tiny = write_clip(Path(folder) / "tiny.mp4", seconds=0.2, size=(64, 64))
        measurements += asyncio.run(round_trip(tiny))
    print_card(measurements)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in measurements], indent=1) + "\n")


def ways(path: Path) -> dict[str, Callable[[], int]]:
    """Each returns the frames it decoded."""
    return {
        "decode all, convert all": lambda: decode_all(path, every=1),
        "decode all, convert 16": lambda: decode_all(path, every=16),
        "Fovea, 16 frames": lambda: decode(str(path), EXACT, LIMITS).info.frames_decoded,
        "Fovea, 8 frames": lambda: decode(str(path), FEW, LIMITS).info.frames_decoded,
        "  of it: read the packets' times": lambda: 0 * len(scan(str(path), LIMITS).packets),
    }


def ways_of_the_shipped_model(path: Path) -> dict[str, Callable[[], int]]:
    """All frames of its clip, and those of its steps alone."""
    bundle = Bundle.read(available_models()[SHIPPED])
    assert isinstance(bundle.config, AdaFocusConfig)
    steps, rule = bundle.config.step_indices, bundle.clip_rule
    looks = {"its whole clip": None, "what its steps look at": tuple(sorted(set().union(*steps)))}
    return {
        f"{SHIPPED}, {way}": partial(
            lambda look: decode(str(path), rule, LIMITS, look).info.frames_decoded,
            None if places is None else FirstLook(places, 0.0, ()),
        )
        for way, places in looks.items()
    }


def decode_all(path: Path, *, every: int) -> int:
    """The plain way: every frame through the decoder, each `every`-th to RGB of the model's size."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        painter = Painter(EXACT, stream.sample_aspect_ratio)
        number = -1
        for number, frame in enumerate(container.decode(stream)):
            if number % every == 0:
                painter.paint(frame)
    return number + 1


def measure(video: str, ways: dict[str, Callable[[], int]]) -> list[Measurement]:
    times_ms: dict[str, list[float]] = {way: [] for way in ways}
    decoded = {way: run() for way, run in ways.items()}  # warms the page cache, too
    for _ in range(ROUNDS):
        for way, run in ways.items():
            started_s = time.perf_counter()
            run()
            times_ms[way].append((time.perf_counter() - started_s) * 1e3)
    return [
        Measurement(video, way, decoded[way], statistics.median(times), min(times)) for way, times in times_ms.items()
    ]


async def round_trip(path: Path) -> list[Measurement]:
    """The same tiny video in this process and through a child: the difference is the sandbox's."""
    sandbox = Sandbox(num_children=1, limits=LIMITS, timeout_s=60.0, address_space_bytes=2**31)
    started_s = time.perf_counter()
    await sandbox.start()
    start_ms = (time.perf_counter() - started_s) * 1e3
    there_ms, here_ms = [], []
    for _ in range(50):
        started_s = time.perf_counter()
        clip = await sandbox.decode(path, EXACT)
        there_ms.append((time.perf_counter() - started_s) * 1e3)
        started_s = time.perf_counter()
        np.copy(decode(str(path), EXACT, LIMITS).frames_THWC)
        here_ms.append((time.perf_counter() - started_s) * 1e3)
    await sandbox.close()
    decoded = clip.info.frames_decoded
    return [
        Measurement("0.2 s, 64 x 64", "in this process", decoded, statistics.median(here_ms), min(here_ms)),
        Measurement("0.2 s, 64 x 64", "through a child", decoded, statistics.median(there_ms), min(there_ms)),
        Measurement("-", "starting a child", 0, start_ms, start_ms),
    ]


def print_card(measurements: list[Measurement]) -> None:
    print(f"{'video':22}{'way':36}{'decoded':>8}{'median':>10}{'least':>10}")
    for each in measurements:
        print(f"{each.video:22}{each.way:36}{each.frames_decoded:8}{each.median_ms:7.1f} ms{each.least_ms:7.1f} ms")


if __name__ == "__main__":
    main()
