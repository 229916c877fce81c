"""A long video to its timeline, from the file to the last segment. Knows no HTTP.

Each timeline has a process of its own that reads its file, and one look at a time in the engine, in a lane that gets a
small share while others wait: however long it is, recognitions and cameras go on beside it.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ulid import ULID

from fovea.errors import (
    DeadlineBeforeGlance,
    Draining,
    FoveaError,
    InvalidOption,
    Overloaded,
    QuotaExceeded,
    Unauthenticated,
    Unavailable,
    VideoError,
)
from service.engine.pipeline import Pipeline
from service.keys.quota import Meter
from service.keys.spending import Accounts, Spending
from service.keys.usage import Usage
from service.metrics import Metrics
from service.timelines.looker import Looker
from service.timelines.plan import TimelineOptions, TimelinePlan, WindowGrid, lay, settle
from service.timelines.segments import Curve, Joiner
from service.timelines.steadying import Steady
from service.timelines.values import Ended, Point, Progress, Segment, Shown, Sighting, Timeline
from video.children.timeline_process import TimelineProcess
from video.clip import VideoLimits
from video.file.cells import FileFacts

log = logging.getLogger(__name__)

PROGRESS_S = 0.5  # between two words of it
UNKNOWN_S, MAX_RETRY_S = 10, 600  # after which to ask again where nobody knows; at most

Item = Segment | Progress | Timeline


@dataclass(frozen=True, slots=True)
class TimelineTerms:
    """What holds for all timelines."""

    limits: VideoLimits
    max_at_once: int
    max_window_s: float


class Timelines:
    """Of one replica."""

    def __init__(
        self,
        pipeline: Pipeline,
        metrics: Metrics,
        terms: TimelineTerms,
        start_process: Callable[[], Awaitable[TimelineProcess]],
        accounts: Accounts | None = None,
    ) -> None:
        """`accounts`: where what keys spend is charged; None: nowhere."""
        self._accounts = accounts or Accounts(Meter(), Usage(metrics))
        self._pipeline, self._metrics, self._terms, self._start_process = pipeline, metrics, terms, start_process
        self.num_running = 0
        self._tales: set[_Tale] = set()  # at work
        self._ending: set[asyncio.Task[None]] = set()
        metrics.timelines_running.set_function(lambda: self.num_running)

    def settle(self, options: TimelineOptions) -> TimelinePlan:
        """Raises InvalidOption, UnknownModel, BudgetTooSmall."""
        return settle(options, self._pipeline, max_window_s=self._terms.max_window_s)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A place for one timeline, from its upload to its end. Raises Overloaded, Draining."""
        if self._pipeline.admission.draining:
            raise Draining.refused()
        if self.num_running >= self._terms.max_at_once:
            retry_after_s = self._retry_after_s()
            raise Overloaded(
                f"all {self._terms.max_at_once} places for timelines are taken; try again in {retry_after_s} s",
                retry_after_s=retry_after_s,
            )
        self.num_running += 1
        try:
            yield
        finally:
            self.num_running -= 1

    def _retry_after_s(self) -> int:
        """When the first of those at work will be done at its pace so far; of one that has just begun nobody knows."""
        left_s = [left for tale in self._tales if (left := tale.left_s()) is not None]
        return min(MAX_RETRY_S, max(1, math.ceil(min(left_s, default=UNKNOWN_S))))

    async def run(self, path: Path, plan: TimelinePlan, key: str = "") -> AsyncGenerator[Item, None]:
        """Segments as they are found and how far it is, then the Timeline, last. Closing the iterator ends the work.

        `key`: the name of the key that pays; empty: nobody's. Raises VideoError kin where nothing of the file can be
        looked at, DeadlineBeforeGlance, InvalidOption, BudgetTooSmall, QuotaExceeded,
        Unauthenticated, Unavailable. What breaks later, or takes too long, ends the timeline there, and it says so.
        """
        started_s = time.monotonic()
        deadline_s = None if plan.deadline_s is None else asyncio.get_running_loop().time() + plan.deadline_s
        async with AsyncExitStack() as stack:
            process = await stack.enter_async_context(self._process())
            try:
                async with asyncio.timeout_at(deadline_s):
                    rule = self._pipeline.offer(plan.look.model).clip_rule
                    facts = await process.survey(path, rule, self._terms.limits)
            except TimeoutError:
                raise _too_late(plan) from None
            grid = lay(plan, facts.duration_s)
            tale = _Tale(self._pipeline, process, plan, grid, facts, partial(self._accounts.spending_of, key))
            told_s = 0.0
            self._tales.add(tale)
            stack.callback(self._tales.discard, tale)
            for number in range(grid.num_windows):
                sighting = await tale.next(number, deadline_s)
                if sighting is None:
                    break
                for segment in tale.segments(sighting):
                    yield segment
                if time.monotonic() - told_s > PROGRESS_S:
                    told_s = time.monotonic()
                    yield tale.progress()
            for segment in tale.last_segments():
                yield segment
            timeline = tale.timeline(time.monotonic() - started_s)
            self._accounts.usage.answered(key, plan.look.model)
            looks = timeline.looks
            self._metrics.timeline_ended(
                timeline.ended,
                timeline.ended_at_s,
                process.work.frames_decoded,
                {"full": looks.full, "carried": looks.carried, "scouted": looks.scouted, "unpaid": looks.unpaid},
            )
            yield timeline

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[TimelineProcess]:
        try:
            process = await self._start_process()
        except OSError as error:
            log.error("%s", error)
            raise Unavailable(
                "the process that decodes this video does not start; the service's log says why", retry_after_s=10
            ) from None
        try:
            yield process
        finally:  # in a task of its own: whoever is cancelled here is cancelled again at every await
            ending = asyncio.create_task(process.end())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.shield(ending)

    async def close(self) -> None:
        """Wait for processes that are being ended."""
        if self._ending:
            await asyncio.wait(set(self._ending))


class _Tale:
    """One timeline while it is told."""

    def __init__(
        self,
        pipeline: Pipeline,
        process: TimelineProcess,
        plan: TimelinePlan,
        grid: WindowGrid,
        facts: FileFacts,
        spending: Callable[[], Spending],
    ) -> None:
        self._process, self._plan, self._grid, self._facts = process, plan, grid, facts
        self._looker = Looker(pipeline, process, plan, grid, facts, spending)
        self._steady = Steady.of(grid) if plan.options.merge else None
        self._joiner = Joiner(len(pipeline.offer(plan.look.model).labels), merge=plan.options.merge)
        self._told = plan.look.terms.told(pipeline.offer(plan.look.model).labels)
        self._curve = Curve()
        self._done_s = 0.0
        self._began_s = time.monotonic()
        self._ended: Ended = "complete"
        self._detail: str | None = None
        if facts.is_broken:
            self._ended = "broken"
            declared = "" if facts.declared_s is None else f" of {facts.declared_s:.2f} s"
            why = "" if facts.failure is None else f" ({facts.failure})"
            self._detail = f"the video breaks off or is damaged after {facts.duration_s:.2f} s{declared}{why}"

    async def next(self, number: int, deadline_s: float | None) -> Sighting | None:
        """The next window; None where it ends here. Raises what went wrong before there was anything to tell."""
        try:
            async with asyncio.timeout_at(deadline_s):
                sighting = await self._looker.look(number)
        except TimeoutError:
            deadline_ms = self._plan.options.each.deadline_ms
            self._end("deadline", f"deadline_ms={deadline_ms} passed", _too_late(self._plan))
            return None
        except VideoError as error:
            self._end("broken", error.detail, error)
            return None
        except (QuotaExceeded, Unauthenticated, InvalidOption) as error:  # the last: dearer than the limit altogether
            self._end("quota", error.detail, error)
            return None
        self._done_s = sighting.end_s
        self._curve.take(self._point(sighting))
        return sighting

    def segments(self, sighting: Sighting) -> Iterator[Segment]:
        """Those that nothing can change once that window is seen."""
        for one in (sighting,) if self._steady is None else self._steady.take(sighting):
            yield from self._joiner.take(one)

    def last_segments(self) -> Iterator[Segment]:
        """Those that are left."""
        for one in () if self._steady is None else self._steady.end():
            yield from self._joiner.take(one)
        yield from self._joiner.end()

    def _end(self, how: Ended, detail: str, error: FoveaError) -> None:
        """It ends here; raises `error` where nothing was looked at."""
        if self._looker.looks.windows == 0:
            raise error
        self._ended, self._detail = how, detail

    def _point(self, sighting: Sighting) -> Point:
        known = sighting.probabilities_C
        return Point(
            time_s=(sighting.start_s + sighting.end_s) / 2,
            label=sighting.label,
            score=0.0 if known is None else float(known[self._told].max()),
            entropy_nats=None if known is None else sighting.entropy_nats,
            spent_gflops=self._looker.purse.spent_flops / 1e9,
        )

    def left_s(self) -> float | None:
        """How long it will take yet, at its pace so far; None before the first window."""
        if not self._done_s:
            return None
        return (time.monotonic() - self._began_s) * (self._facts.duration_s - self._done_s) / self._done_s

    def progress(self) -> Progress:
        return Progress(self._done_s, self._facts.duration_s, self._looker.purse.spent_flops, self._joiner.num_told)

    def timeline(self, took_s: float) -> Timeline:
        return Timeline(
            id=f"tml_{ULID()}",
            plan=self._plan,
            grid=self._grid,
            ended=self._ended,
            ended_at_s=self._done_s,
            detail=self._detail,
            spent_flops=self._looker.purse.spent_flops,
            looks=self._looker.looks,
            curve=self._curve.points(),
            shown=Shown(self._facts, self._process.work, *self._looker.size_px),
            took_s=took_s,
        )


def _too_late(plan: TimelinePlan) -> DeadlineBeforeGlance:
    deadline_ms = plan.options.each.deadline_ms
    return DeadlineBeforeGlance(
        f"deadline_ms={deadline_ms} passed before anything of the video was looked at; give it more time, or leave the "
        "deadline out",
        retry_after_s=1,
        deadline_ms=deadline_ms,
    )
