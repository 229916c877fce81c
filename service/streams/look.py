"""Has one window of a camera recognised at a time, always the latest. Knows no camera and no lease.

Results are fresh that way; what could not be looked at is counted, never queued up.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from fovea.errors import FoveaError, InvalidOption, QuotaExceeded, Unauthenticated, Unavailable
from fovea.words import Emit, ExitReason
from models.recognizer import Shared
from service.engine.lanes import Owner
from service.engine.pipeline import Pipeline
from service.engine.request import Plan, Recognition
from service.engine.summary import summarise
from service.keys.quota import Meter
from service.keys.spending import Accounts
from service.keys.usage import Usage
from service.ledger.base import Fenced
from service.metrics import Metrics
from service.streams.attention import Sight
from service.streams.journal import Journal
from service.streams.pace import Pace
from service.streams.pool import Pool
from service.streams.status import Counts, Result
from service.streams.subscription import Subscription
from service.streams.windows import Window
from video.camera.live import Picture

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Due:
    """A window that waits to be looked at."""

    window: Window
    epoch: int
    codec: str


class Look:
    """Of one camera."""

    def __init__(
        self,
        subscription: Subscription,
        *,
        pipeline: Pipeline,
        pool: Pool,
        journal: Journal,
        metrics: Metrics,
        accounts: Accounts | None = None,
    ) -> None:
        """`accounts`: where its owner's spending is charged; None: nowhere."""
        self._subscription = subscription
        self._pipeline = pipeline
        self._pool = pool
        self._journal = journal
        self._metrics = metrics
        self._accounts = accounts or Accounts(Meter(), Usage(metrics))
        self._memory: dict[int, Any] = {}  # glance features of the latest window's frames; the engine's
        self._latest: asyncio.Queue[_Due] = asyncio.Queue(1)
        self._pace = Pace(subscription.stride_s)
        self._before = Counts()  # as of the result before
        self.picture: Picture | None = None  # the middle one of the latest window
        self._told_label: tuple[str | None] | None = None  # of the result told last; None: none was

    def offer(self, window: Window, codec: str) -> None:
        """Look at this one next, whatever else waits."""
        self.picture = window.pictures_T[len(window.pictures_T) // 2]
        if not self._latest.empty():
            self._latest.get_nowait()
            self._drop("busy")
        self._latest.put_nowait(_Due(window, self._journal.status.epoch, codec))

    async def run(self, attend: Callable[[Sight], Awaitable[None]]) -> None:
        """For ever. `attend` hears after every window what it says about the scene. Raises Fenced."""
        self._pool.join(self._subscription.id, time.monotonic(), self._owner())
        try:
            while True:
                await asyncio.sleep(self._pace.wait_s(time.monotonic()))
                due = await self._latest.get()
                self._pace.take(time.monotonic())
                try:
                    await self._look(due, attend)
                except Fenced:
                    raise
                except (QuotaExceeded, Unauthenticated, InvalidOption):  # its key's limits, or the key is no more
                    self._drop("budget")
                except Unavailable:  # the engine is ending, or the ledger is away
                    self._drop("unavailable")
                except FoveaError as error:
                    log.warning("a window of stream %s was not recognised: %s", self._subscription.id, error)
                    self._drop("error")
        finally:
            self._pool.leave(self._subscription.id)

    def _owner(self) -> Owner:
        try:
            return self._accounts.spending_of(self._subscription.owner).owner
        except Unauthenticated:
            return Owner(self._subscription.owner)

    async def _look(self, due: _Due, attend: Callable[[Sight], Awaitable[None]]) -> None:
        plan = self._affordable()
        if plan is None:
            self._drop("budget")
            return
        reused = len(set(due.window.keys_T) & self._memory.keys())
        recognition = await self._recognise(plan, due)
        await self._tell(due, recognition, reused)
        glance = recognition.steps[0]
        settled = len(recognition.steps) == 1 and recognition.exit_reason is not ExitReason.CEILING
        best = int(recognition.steps[-1].probabilities_C.argmax())
        await attend(Sight(recognition.labels[best], glance.entropy_nats, settled))

    def _affordable(self) -> Plan | None:
        """What was asked for, as far as there is credit; None where that is less than a glance."""
        options = self._subscription.options()
        plan = self._pipeline.plan(options)
        granted = self._pool.borrow(self._subscription.id, plan.step_flops[0], plan.most_flops, time.monotonic())
        if granted is None or granted >= plan.most_flops:
            return None if granted is None else plan
        cheaper = replace(options, budget_flops=min(plan.budget_flops, granted), max_flops=granted)
        return self._pipeline.plan(cheaper)

    async def _recognise(self, plan: Plan, due: _Due) -> Recognition:
        counts, spent_flops = self._journal.counts, 0
        try:
            clip = due.window.clip(
                due.codec,
                counts.frames_decoded - self._before.frames_decoded,
                self._pipeline.offer(self._subscription.model).clip_rule.num_crops,
            )
            with self._accounts.spending_of(self._subscription.owner) as spending:
                spending.model = plan.model
                await spending.reserve(plan.most_flops)
                shared = Shared(due.window.keys_T, self._memory)
                recognition = await self._pipeline.look(plan, clip, shared, spending.owner, on_spend=spending.spend)
                spent_flops = recognition.spent_flops
                spending.answered()
        finally:
            self._pool.settle(self._subscription.id, spent_flops)
        counts.results += 1
        counts.spent_flops += spent_flops
        return recognition

    async def _tell(self, due: _Due, recognition: Recognition, reused: int) -> None:
        window, counts, before = due.window, self._journal.counts, self._before
        age_s = time.monotonic() - window.captured_s
        self._metrics.stream_frame_age_seconds.observe(age_s)
        offer = self._pipeline.offer(recognition.plan.model)
        result = Result(
            epoch=due.epoch,
            start_s=window.start_s,
            end_s=window.end_s,
            partial=window.partial,
            mode=window.mode,
            captured_s=time.time() - age_s,
            frame_age_s=age_s,
            frames_distinct=len(set(window.keys_T)),
            frames_reused=reused,
            frames_decoded=counts.frames_decoded - before.frames_decoded,
            frames_dropped=counts.frames_dropped - before.frames_dropped,
            windows_dropped=counts.windows_dropped - before.windows_dropped,
            recognition=summarise(recognition, offer),
        )
        self._before = replace(counts)
        label = (recognition.verdict.label,)
        if self._subscription.on is Emit.RESULT or label != self._told_label:
            await self._journal.tell(result)
            self._told_label = label

    def _drop(self, reason: str) -> None:
        self._journal.counts.windows_dropped += 1
        self._metrics.windows_dropped_total.labels(reason=reason).inc()
