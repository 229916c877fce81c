"""What decoding on demand gains: videos/s with it and without, in one run, and what it does to labels.

Two pipelines with the same model and settings, one with FOVEA_DECODE_ON_DEMAND=false, take turns; medians are told.
`--data` names a folder of labelled videos (`labels.csv`): its clips are encoded anew as phones do it, 720 lines and a
keyframe a second, as long as they are, and once more slowed down to ten seconds. Without it synthetic clips alone.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.decode_against import race_against
from benchmarks.peers import Row as RaceRow
from benchmarks.phone_clips import CLIENTS, ClipSet, clip_sets
from service.engine.budget import RecognitionOptions
from service.engine.pipeline import Pipeline
from service.engine.request import Recognition
from service.metrics import Metrics
from service.settings import Settings
from service.wiring.recognising import open_pipeline


@dataclass(frozen=True, slots=True)
class Row:
    """One set of clips at one budget; `before`: all frames of a clip decoded at once."""

    clips: str
    budget: str
    videos: int
    before_videos_per_s: float
    after_videos_per_s: float
    ratio: float  # the median of the rounds' own
    before_cpu_ms: float  # of a video, service and decoding processes together: what a busy machine does not change
    after_cpu_ms: float
    before_frames: float  # decoded, in the mean
    after_frames: float
    stopped_at_glance: float  # share of the answers
    same_label: float
    before_top1: float | None  # None: clips without labels
    after_top1: float | None

    def __str__(self) -> str:
        right = "" if self.before_top1 is None else f"; right {self.before_top1:.1%} -> {self.after_top1:.1%}"
        return (
            f"{self.clips}, {self.budget}: {self.before_videos_per_s:.2f} -> {self.after_videos_per_s:.2f} videos/s, "
            f"{self.ratio:.2f} x; CPU {self.before_cpu_ms:.0f} -> {self.after_cpu_ms:.0f} ms, "
            f"{self.before_cpu_ms / self.after_cpu_ms:.2f} x; frames {self.before_frames:.0f} -> "
            f"{self.after_frames:.0f}; "
            f"{self.stopped_at_glance:.0%} stop at the glance; same label {self.same_label:.1%}{right}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode_on_demand", description=__doc__)
    parser.add_argument("--data", type=Path, help="labelled videos")
    parser.add_argument("--split", default="val")
    parser.add_argument("--most", type=int, default=1000, help="labelled videos to take at most, evenly spread")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--tolerance", type=float, help="FOVEA_KEYFRAME_TOLERANCE of the second pipeline; absent: what the model bears"
    )
    parser.add_argument("--against", type=Path, help="a checkout of another commit, to run its service beside ours")
    parser.add_argument("--only", help="sets of clips whose name holds this")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = clip_sets(Path(folder), arguments.data, arguments.split, arguments.most, arguments.only or "")
        told: Sequence[Row | RaceRow]
        if arguments.against is not None:
            told = race_against(arguments.against, sets, arguments.rounds)
        else:
            told = asyncio.run(measure_all(sets, arguments.rounds, arguments.tolerance))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in told], indent=1) + "\n")


async def measure_all(
    sets: Sequence[ClipSet],
    rounds: int,
    tolerance: float | None,
) -> list[Row]:
    rows: list[Row] = []
    # on a busy machine these would be taken for costly ones, which wait apart, or for ones that hang
    patient: dict[str, float | None] = {"costly_decode_s": 1000.0, "decode_timeout_s": 1000.0}
    patient["keyframe_tolerance"] = tolerance
    before, after = (Settings.read(decode_on_demand=on, **patient) for on in (False, True))
    async with open_pipeline(before, Metrics()) as at_once, open_pipeline(after, Metrics()) as on_demand:
        for some in sets:
            rows.append(await measure(some, at_once, on_demand, rounds))
            print(rows[-1], flush=True)
    return rows


async def measure(some: ClipSet, at_once: Pipeline, on_demand: Pipeline, rounds: int) -> Row:
    offer = at_once.catalogue[0]
    options = RecognitionOptions(model=offer.name, budget_flops=offer.least_flops if some.at_glance else None)
    paths = [path for path, _ in some.clips]
    rates: dict[str, list[float]] = {"before": [], "after": []}
    cpu_ms: dict[str, list[float]] = {"before": [], "after": []}
    answers: dict[str, list[Recognition]] = {}
    for number in range(-1, rounds):  # the first warms up and is not counted
        for way, pipeline in (("before", at_once), ("after", on_demand)):
            start_s, start_cpu_s = time.perf_counter(), cpu_seconds()
            answers[way] = await ask_all(pipeline, options, paths)
            if number >= 0:
                rates[way].append(len(paths) / (time.perf_counter() - start_s))
                cpu_ms[way].append(1000 * (cpu_seconds() - start_cpu_s) / len(paths))
    said = {way: [one.labels[int(one.steps[-1].probabilities_C.argmax())] for one in answers[way]] for way in answers}
    truth = [label for _, label in some.clips]
    labelled = all(label is not None for label in truth)

    def right(way: str) -> float | None:
        return statistics.fmean(a == b for a, b in zip(said[way], truth, strict=True)) if labelled else None

    return Row(
        clips=some.name,
        budget="stopping at the glance" if some.at_glance else "default budget",
        videos=len(paths),
        before_videos_per_s=statistics.median(rates["before"]),
        after_videos_per_s=statistics.median(rates["after"]),
        ratio=statistics.median(b / a for a, b in zip(rates["before"], rates["after"], strict=True)),
        before_cpu_ms=statistics.median(cpu_ms["before"]),
        after_cpu_ms=statistics.median(cpu_ms["after"]),
        before_frames=statistics.fmean(one.video.frames_decoded for one in answers["before"]),
        after_frames=statistics.fmean(one.video.frames_decoded for one in answers["after"]),
        stopped_at_glance=statistics.fmean(len(one.steps) == 1 for one in answers["after"]),
        same_label=statistics.fmean(a == b for a, b in zip(said["before"], said["after"], strict=True)),
        before_top1=right("before"),
        after_top1=right("after"),
    )


def cpu_seconds() -> float:
    """Of this process and its decoding children so far."""
    times = [one.cpu_times() for one in (psutil.Process(), *psutil.Process().children())]
    return float(sum(one.user + one.system for one in times))


async def ask_all(pipeline: Pipeline, options: RecognitionOptions, paths: Sequence[Path]) -> list[Recognition]:
    """The answers in the videos' order; CLIENTS ask at a time."""
    plan, answers = pipeline.plan(options), dict[int, Recognition]()
    left = list(enumerate(paths))[::-1]

    async def client() -> None:
        while left:
            number, path = left.pop()
            with pipeline.admit(plan) as ticket:
                async for event in pipeline.recognize(path, plan, ticket):
                    if isinstance(event, Recognition):
                        answers[number] = event

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return [answers[number] for number in range(len(paths))]


if __name__ == "__main__":
    main()
