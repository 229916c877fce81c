"""Every window of a long film at full budget, in pieces kept in a folder: what was cut short goes on there.

A piece is a stretch of windows, looked at by the service's own looker. Each opens the film anew, and looks at some
windows before its first one, too, so that glances are shared, pictures compared and windows chosen that decide as in
one go; what that costs is taken off.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from service.engine.pipeline import Pipeline
from service.keys.quota import Meter
from service.keys.spending import Accounts
from service.keys.usage import Usage
from service.metrics import Metrics
from service.settings import Settings
from service.timelines.looker import Looker
from service.timelines.plan import TimelinePlan, WindowGrid, lay
from service.timelines.segments import Joiner
from service.timelines.steadying import Steady
from service.timelines.values import Segment, Sighting
from video.children.timeline_process import TimelineProcess


@dataclass(frozen=True)
class Seen:
    """What one window said, as it is kept."""

    start_s: float
    end_s: float
    label: str | None
    likeliest: str | None
    spent_flops: int
    decides: bool


@dataclass(frozen=True)
class Piece:
    """Windows in a row, and what they cost."""

    seen: list[Seen]
    frames_decoded: int
    full: int
    seconds: float

    @classmethod
    def read(cls, file: Path) -> "Piece":
        kept = json.loads(file.read_text())
        return cls(**(kept | {"seen": [Seen(**one) for one in kept["seen"]]}))

    def write(self, file: Path) -> None:
        unfinished = file.with_suffix(".part")
        unfinished.write_text(json.dumps(asdict(self)))
        unfinished.replace(file)


@dataclass(frozen=True)
class Exhausted:
    """All windows of a film."""

    segments: list[Segment]
    spent_flops: int
    frames_decoded: int
    full: int
    windows: int
    seconds: float  # of work, however often it was interrupted


async def exhaust(
    pipeline: Pipeline, settings: Settings, film: Path, plan: TimelinePlan, kept: Path, windows_each: int, most_s: float
) -> Exhausted | None:
    """None where `most_s` seconds were not enough: call it again with the same `kept`, which holds what is done."""
    kept.mkdir(parents=True, exist_ok=True)
    give_up_s = time.monotonic() + most_s
    offer = pipeline.offer(plan.look.model)
    pieces: list[Piece] = []
    first, num_windows = 0, None
    while num_windows is None or first < num_windows:
        process = await TimelineProcess.start(
            address_space_bytes=settings.decode_address_space_bytes, silence_s=settings.decode_timeout_s
        )
        try:
            facts = await process.survey(film, offer.clip_rule, settings.timeline_limits())
            grid = lay(plan, facts.duration_s)
            num_windows = grid.num_windows
            last = min(num_windows, first + windows_each)
            file = kept / f"{first:06}-{last:06}.json"
            if not file.exists():
                if time.monotonic() > give_up_s:
                    print(f"{first} of {num_windows} windows are done: run it again to go on", flush=True)
                    return None
                spending = partial(Accounts(Meter(), Usage(Metrics())).spending_of, "")
                before = max(0, first - 2 * max(1, round(grid.window_s / grid.stride_s)))
                looker = Looker(pipeline, process, plan, grid, facts, spending)
                (await _look(looker, process, before, first, last)).write(file)
        finally:
            await process.end()
        pieces.append(Piece.read(file))
        first = last
    return Exhausted(
        segments=list(_joined(pieces, len(offer.labels), grid)),
        spent_flops=sum(seen.spent_flops for piece in pieces for seen in piece.seen),
        frames_decoded=sum(piece.frames_decoded for piece in pieces),
        full=sum(piece.full for piece in pieces),
        windows=num_windows,
        seconds=sum(piece.seconds for piece in pieces),
    )


async def _look(looker: Looker, process: TimelineProcess, before: int, first: int, last: int) -> Piece:
    began_s = time.monotonic()
    for number in range(before, first):
        await looker.look(number)
    frames_before, full_before = process.work.frames_decoded, looker.looks.full
    sightings = [await looker.look(number) for number in range(first, last)]
    return Piece(
        seen=[
            Seen(one.start_s, one.end_s, one.label, one.likeliest, one.spent_flops, one.decides) for one in sightings
        ],
        frames_decoded=process.work.frames_decoded - frames_before,
        full=looker.looks.full - full_before,
        seconds=time.monotonic() - began_s,
    )


def _joined(pieces: list[Piece], num_labels: int, grid: WindowGrid) -> Iterator[Segment]:
    steady, joiner = Steady.of(grid), Joiner(num_labels, merge=True)
    for piece in pieces:
        for seen in piece.seen:
            sighting = Sighting(
                seen.start_s, seen.end_s, None, 0.0, seen.spent_flops, seen.label, seen.likeliest, seen.decides
            )
            for one in steady.take(sighting):
                yield from joiner.take(one)
    for one in steady.end():
        yield from joiner.take(one)
    yield from joiner.end()
