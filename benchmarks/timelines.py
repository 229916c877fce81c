"""Timelines against exhaustive windows: a made-up video of val clips with quiet gaps; segments, FLOPs and frames.

Exhaustive means every window, every frame that it needs, every step of the model; sparse the same of windows that lie
further apart. A segment is right where its label
is and it overlaps the clip by half (intersection over union), each clip at most once. Gaps show a still scene with a
sensor's noise. Without the labelled clips (`--data`, a folder with labels.csv) a synthetic film of noise takes their
place: there is nothing to score then, and costs alone are told.

`--memory` measures instead what memory a minute and two hours take at their peak: this process, which recognises, and
its children, each length in a process of its own.
"""

import argparse
import asyncio
import csv
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.timeline_pieces import Exhausted, exhaust
from fovea.words import Decode
from service.api.timelines.telling import last
from service.engine.budget import RecognitionOptions
from service.metrics import Metrics
from service.settings import Settings
from service.timelines.plan import TimelineOptions, TimelinePlan
from service.timelines.timelines import Timelines
from service.timelines.values import Segment, Timeline
from service.wiring.recognising import make_timelines, open_pipeline
from tests.clips import noise

FPS, SIZE = 15, (400, 320)
MIN_IOU = 0.5
WINDOWS_EACH = 60  # of a piece of the exhaustive way


@dataclass(frozen=True)
class Event:
    """A clip in the film."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Outcome:
    name: str
    found: int  # segments that have a label
    right: int
    precision: float
    recall: float
    f1: float
    spent_gflops: float
    frames_decoded: int
    windows_full: int
    windows: int
    seconds: float


def still(scene: int, number: int) -> NDArray[np.uint8]:
    """One scene with a sensor's noise."""
    rng = np.random.default_rng((scene, number))
    coarse_HWC = np.random.default_rng(scene).integers(60, 190, (5, 6, 3), dtype=np.uint8)
    picture_HWC = av.VideoFrame.from_ndarray(coarse_HWC, format="rgb24").reformat(*SIZE).to_ndarray(format="rgb24")
    return picture_HWC + rng.integers(0, 3, (SIZE[1], SIZE[0], 1), np.uint8)


def clips_of(data: Path, split: str, seed: int) -> list[tuple[str, Path]]:
    """(label, path) of the split's clips in an order of chance."""
    with (data / "labels.csv").open(newline="") as file:
        rows = [(row["label"], data / row["path"]) for row in csv.DictReader(file) if row["split"] == split]
    random.Random(seed).shuffle(rows)
    return rows


def synthetic_clips(count: int) -> list[tuple[str, Path]]:
    return [("noise", Path()) for _ in range(count)]


def frames_of(path: Path, length: int) -> Iterator[NDArray[np.uint8]]:
    if path == Path():
        yield from (noise(number, *SIZE) for number in range(length))
        return
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.reformat(*SIZE, format="rgb24").to_ndarray()


def make_film(
    out: Path, clips: Sequence[tuple[str, Path]], seconds: float, keyframes_s: float, seed: int
) -> list[Event]:
    """The clips, with gaps that fill the film up to its length."""
    rng = random.Random(seed)
    events: list[Event] = []
    shares = [rng.uniform(0.5, 1.5) for _ in range(len(clips) + 1)]
    number = 0
    gap_frames = int(seconds * FPS) - sum(sum(1 for _ in frames_of(path, 2 * FPS)) for _, path in clips)
    assert gap_frames > 0, f"{len(clips)} clips are longer than {seconds} s"
    with av.open(str(out), "w") as output:
        stream = output.add_stream("libx264", rate=FPS, options={"crf": "26", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.gop_size = round(keyframes_s * FPS)
        stream.codec_context.thread_count = 1

        def put(picture_HWC: NDArray[np.uint8]) -> None:
            nonlocal number
            frame = av.VideoFrame.from_ndarray(picture_HWC, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(stream.encode(frame))
            number += 1

        for scene, share in enumerate(shares):
            for _ in range(round(gap_frames * share / sum(shares))):
                put(still(scene, number))
            if scene < len(clips):
                label, path = clips[scene]
                began = number
                for picture_HWC in frames_of(path, 2 * FPS):
                    put(picture_HWC)
                events.append(Event(label, began / FPS, number / FPS))
        output.mux(stream.encode(None))
    return events


def right_ones(found: Sequence[Segment], events: Sequence[Event]) -> int:
    """How many of the segments are right; the better overlap goes first."""
    pairs = sorted(
        (-iou(segment, event), one, other)
        for one, segment in enumerate(found)
        for other, event in enumerate(events)
        if segment.label == event.label and iou(segment, event) >= MIN_IOU
    )
    segments: set[int] = set()
    taken: set[int] = set()
    for _, one, other in pairs:
        if one not in segments and other not in taken:
            segments.add(one)
            taken.add(other)
    return len(taken)


def iou(segment: Segment, event: Event) -> float:
    both_s = min(segment.end_s, event.end_s) - max(segment.start_s, event.start_s)
    either_s = max(segment.end_s, event.end_s) - min(segment.start_s, event.start_s)
    return max(0.0, both_s) / either_s


def judged(name: str, done: Exhausted, events: Sequence[Event]) -> Outcome:
    found = [segment for segment in done.segments if segment.label is not None]
    right = right_ones(found, events)
    return Outcome(
        name=name,
        found=len(found),
        right=right,
        precision=round(right / max(1, len(found)), 4),
        recall=round(right / max(1, len(events)), 4),
        f1=round(2 * right / max(1, len(found) + len(events)), 4),
        spent_gflops=round(done.spent_flops / 1e9, 1),
        frames_decoded=done.frames_decoded,
        windows_full=done.full,
        windows=done.windows,
        seconds=round(done.seconds, 1),
    )


async def attentive(timelines: Timelines, film: Path, plan: TimelinePlan) -> Exhausted:
    """As the service does it, in one go."""
    segments: list[Segment] = []
    began_s = time.monotonic()
    async with aclosing(timelines.run(film, plan)) as items:
        async for item in items:
            match item:
                case Segment():
                    segments.append(item)
                case Timeline():
                    looks, frames = item.looks, item.shown.work.frames_decoded
                    took_s = time.monotonic() - began_s
                    return Exhausted(segments, item.spent_flops, frames, looks.full, looks.windows, took_s)
    raise AssertionError("the timeline ended without an answer")


async def run(film: Path, events: Sequence[Event], asked: argparse.Namespace) -> list[Outcome]:
    settings, metrics = Settings.read(), Metrics()
    async with open_pipeline(settings, metrics) as pipeline:
        timelines = make_timelines(settings, metrics, pipeline)
        each = RecognitionOptions(model=asked.model, min_score=asked.min_score)
        offer = pipeline.offer(pipeline.plan(each).model)
        full_per_s = int(offer.full_flops / asked.stride_s) + 1
        common = {"window_s": asked.window_s, "stride_s": asked.stride_s}
        most = None if asked.gflops is None else int(asked.gflops * 1e9)
        ways = {
            "exhaustive": TimelineOptions(each, **common, decode=Decode.ALL, budget_flops_per_s=full_per_s),
            "auto": TimelineOptions(each, **common, budget_flops=most),
            "sparse": TimelineOptions(
                each,
                window_s=asked.window_s,
                stride_s=asked.sparse_stride_s,
                decode=Decode.ALL,
                budget_flops_per_s=full_per_s,
            ),
        }
        outcomes = []
        for name in asked.ways:
            plan = timelines.settle(ways[name])
            if name == "exhaustive":
                done = await exhaust(
                    pipeline, settings, film, plan, asked.work / "exhaustive", WINDOWS_EACH, asked.most_s
                )
            else:
                done = await attentive(timelines, film, plan)
            if done is None:
                return outcomes
            outcomes.append(judged(name, done, events))
            print(outcomes[-1], flush=True)
        return outcomes


async def peak_mib(seconds: float, film: Path) -> float:
    """Of a timeline of a film of that length: a scene a minute, a picture a second, 160 x 120."""
    me, peak = psutil.Process(), 0
    with av.open(str(film), "w") as output:
        stream = output.add_stream("libx264", rate=1, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.thread_count = 2, 1
        for number in range(int(seconds)):
            frame = av.VideoFrame.from_ndarray(still(number // 60, number), format="rgb24").reformat(160, 120)
            frame.pts, frame.time_base = number, Fraction(1, 1)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))

    async def watch() -> None:
        nonlocal peak
        while True:
            total = 0
            for process in (me, *me.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
            peak = max(peak, total)
            await asyncio.sleep(0.1)

    settings, metrics = Settings.read(), Metrics()
    async with open_pipeline(settings, metrics) as pipeline:
        timelines = make_timelines(settings, metrics, pipeline)
        plan = timelines.settle(TimelineOptions(window_s=16.0, stride_s=2.0))
        watching = asyncio.create_task(watch())
        answer = await last(timelines, film, plan, pipeline.offer(plan.look.model))
        watching.cancel()
    assert answer.end.reason == "complete"
    return peak / 2**20


def measure_memory() -> None:
    """Prints a line a length."""
    for seconds in (60, 600, 7200):
        command = [sys.executable, "-m", "benchmarks.timelines", "--peak-of", str(seconds)]
        subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timelines", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with labels.csv and the clips it names")
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--split", default="val", help="of the clips in labels.csv")
    parser.add_argument("--clips", type=int, help="use so many clips; absent: all")
    parser.add_argument("--keyframes-s", type=float, default=2.0)
    parser.add_argument("--window-s", type=float, default=2.0)
    parser.add_argument("--stride-s", type=float, default=0.5)
    parser.add_argument("--sparse-stride-s", type=float, default=4.0)
    parser.add_argument("--min-score", type=float, default=0.5)
    parser.add_argument("--gflops", type=float, help="budget of auto for the whole film; absent: none")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--seed", type=int, default=20)
    ways = ["exhaustive", "auto", "sparse"]
    parser.add_argument("--ways", nargs="+", default=ways, choices=ways)
    parser.add_argument("--work", type=Path, help="keep film and windows in this folder; go on from what it holds")
    parser.add_argument("--most-s", type=float, default=math.inf, help="stop after so long; --work goes on")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory", action="store_true", help="measure memory, and nothing else")
    parser.add_argument("--peak-of", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.memory:
        measure_memory()
        return
    if asked.peak_of:
        with tempfile.TemporaryDirectory() as folder:
            mib = asyncio.run(peak_mib(asked.peak_of, Path(folder) / "film.mp4"))
        print(f"{asked.peak_of:.0f} s of video: {mib:.0f} MiB at the peak, children included")
        return
    if asked.data is not None and not (asked.data / "labels.csv").exists():
        sys.exit(f"{asked.data} holds no labels.csv; name the folder of the labelled clips, or leave --data out")
    if asked.data is None:
        print("no labelled clips (--data): a synthetic film takes their place, and nothing is scored")
        clips = synthetic_clips(asked.clips or max(1, int(asked.seconds / 10)))
    else:
        clips = clips_of(asked.data, asked.split, asked.seed)[: asked.clips]
    with tempfile.TemporaryDirectory() as folder:
        asked.work = asked.work or Path(folder)
        asked.work.mkdir(parents=True, exist_ok=True)
        film, told = asked.work / "film.mp4", asked.work / "film.json"
        if film.exists() and told.exists():
            events = [Event(**one) for one in json.loads(told.read_text())]
        else:
            events = make_film(film, clips, asked.seconds, asked.keyframes_s, asked.seed)
            told.write_text(json.dumps([asdict(event) for event in events]))
        busy_s = sum(event.end_s - event.start_s for event in events)
        print(f"{len(events)} clips, {busy_s:.0f} of {asked.seconds:.0f} s")
        outcomes = asyncio.run(run(film, events, asked))
    for outcome in outcomes[1:]:
        of, exhaustive = outcome, outcomes[0]
        print(
            f"{of.name}: F1 {of.f1:.3f} against {exhaustive.f1:.3f} of {exhaustive.name}; "
            f"FLOPs {of.spent_gflops / exhaustive.spent_gflops:.1%}, "
            f"frames {of.frames_decoded / exhaustive.frames_decoded:.1%} of those that it decodes, "
            f"{of.frames_decoded / (asked.seconds * FPS):.1%} of the film's"
        )
    if asked.json:
        asked.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))


if __name__ == "__main__":
    main()
