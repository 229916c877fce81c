"""One camera's life on this replica: open, listen, look, tell; reconnect for ever. Knows no lease and no HTTP.

Two tasks: one listens to the camera's process and never waits for the engine; the other has one window recognised at a
time, always the latest, so that results are fresh and what could not be looked at is counted, not queued up.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fovea.errors import FoveaError, Unavailable
from fovea.words import Emit, ErrorClass, ExitReason, StreamState
from service.engine.pipeline import Pipeline
from service.engine.request import Recognition, Reuse
from service.ledger.base import Fenced, State
from service.metrics import Metrics
from service.streams.address import AddressPolicy, AddressRefused
from service.streams.attention import Attention, Sight
from service.streams.backoff import Backoff
from service.streams.pool import Pool
from service.streams.status import Counts, Look, Source, Status, Trouble
from service.streams.subscription import Subscription
from service.streams.windows import Window, Windows
from video.camera.live import Broken, CameraSource, Cell, Lost, Opened, Patience, Sampling
from video.children.camera_process import CameraProcess
from video.clip import VideoLimits

log = logging.getLogger(__name__)


class Wording(Protocol):
    """How values become the text of events and reports; the API's."""

    def result(self, look: Look) -> str: ...

    def state(self, stream: str, status: Status) -> str: ...

    def report(self, status: Status, counts: Counts) -> str: ...

    def epoch_of(self, report: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all cameras of a replica."""

    policy: AddressPolicy
    patience: Patience
    limits: VideoLimits
    backoff_cap_s: float
    auth_retry_s: float
    least_keyframes: int
    ca_file: str | None
    verify: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """What a watcher works with."""

    pipeline: Pipeline
    state: State
    pool: Pool
    metrics: Metrics
    wording: Wording
    terms: Terms
    start_process: Callable[[], Awaitable[CameraProcess]]


class Watcher:
    """Runs until it is cancelled, or fenced off because another replica holds the stream."""

    def __init__(self, subscription: Subscription, token: str, parts: Parts, *, epoch: int = 0) -> None:
        offer, terms = parts.pipeline.offer(subscription.model), parts.terms
        self.subscription = subscription
        self.token = token
        self.counts = Counts()
        self._parts = parts
        self._sampling = Sampling(offer.clip_rule, _cell_us(subscription), terms.limits)
        self._windows = Windows(offer.clip_rule.num_frames, subscription.stride_cells, float(subscription.cell_s))
        self._attention = Attention(
            subscription.decode, window_s=subscription.window_s, least_keyframes=terms.least_keyframes
        )
        self._backoff = Backoff(terms.backoff_cap_s, terms.auth_retry_s)
        self._memory: dict[int, Any] = {}  # glance features of the latest window's frames; the engine's
        self._process: CameraProcess | None = None
        self._codec = ""
        self._pending: tuple[int, Window] | None = None  # the latest window, with its epoch
        self._due = asyncio.Event()
        self._told: tuple[int, int, int] = (0, 0, 0)  # decoded, dropped, windows dropped, as of the result before
        self._told_label: str | None = None
        self._has_told = False
        self._last_id: str | None = None
        self.status = Status(StreamState.CONNECTING, time.time(), None, epoch, self._attention.mode, None)

    async def run(self) -> None:
        self._parts.metrics.stream_state.labels(state=self.status.state).inc()
        self._parts.pool.join(self.subscription.id, time.monotonic())
        try:
            await self._tell_state()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ingest())
                tasks.create_task(self._look_on())
        except* Fenced:
            log.info("stream %s is held elsewhere now", self.subscription.id)
        finally:
            self._parts.pool.leave(self.subscription.id)
            self._parts.metrics.stream_state.labels(state=self.status.state).dec()
            if self._process is not None:
                await self._process.end()

    async def report(self) -> None:
        """Tell the state where the stream stands. Raises Fenced, Unavailable."""
        text = self._parts.wording.report(self.status, self.counts)
        await self._parts.state.report(self.subscription.id, self.token, text)

    async def hand_over(self) -> None:
        """The last word of this replica, once it watches no more: somebody else has to."""
        with contextlib.suppress(Fenced):
            self.status = replace(self.status, state=StreamState.WAITING, since_s=time.time(), trouble=None)
            await self._tell_state()

    # -- the camera

    async def _ingest(self) -> None:
        terms, counts = self._parts.terms, self.counts
        while True:
            try:
                address = await terms.policy.resolve(self.subscription.url)
                process = await self._running_process()
            except AddressRefused as error:
                lost = Lost(error.error_class, error.detail)
            except OSError as error:
                log.error("%s", error)
                lost = Lost(ErrorClass.CRASHED, "the process that decodes this camera does not start")
            else:
                self._attention.start_anew()
                self.status = replace(self.status, mode=self._attention.mode)
                process.open(self._source(address), terms.patience, self._sampling, self._attention.mode)
                before = counts.frames_decoded, counts.frames_dropped
                lost = await self._listen(process, *before)
            wait_s = self._backoff.lost(lost.error_class, time.monotonic())
            counts.reconnects += self.status.state is StreamState.LIVE
            self._parts.metrics.stream_reconnects_total.labels(error_class=lost.error_class).inc()
            trouble = Trouble(lost.error_class, lost.detail, self._backoff.attempts, time.time() + wait_s)
            await self._become(StreamState.RECONNECTING, trouble)
            await asyncio.sleep(wait_s)

    async def _running_process(self) -> CameraProcess:
        if self._process is not None and not self._process.is_alive:
            await self._process.end()
            self._process = None
        if self._process is None:
            self._process = await self._parts.start_process()
        return self._process

    def _source(self, address: str) -> CameraSource:
        url, terms = self.subscription.url, self._parts.terms
        return CameraSource(
            url.pinned(address), url.host, address, url.port, self.subscription.transport, terms.ca_file, terms.verify
        )

    async def _listen(self, process: CameraProcess, decoded_before: int, dropped_before: int) -> Lost:
        """Take in what the camera shows until it is lost."""
        first = True
        while True:
            match await process.message():
                case Opened(codec):
                    self._codec = codec
                case Broken():
                    first = True
                case Cell() as cell:
                    if first and cell.picture is not None:
                        first = False
                        await self._begin_epoch(cell)
                    self._count(cell, decoded_before, dropped_before)
                    window = self._windows.take(cell)
                    if window is not None:
                        self._offer(window)
                case Lost() as lost:
                    return lost

    async def _begin_epoch(self, cell: Cell) -> None:
        assert cell.picture is not None
        self._backoff.live(time.monotonic())
        self._windows.start_anew()
        self._attention.start_anew()
        self._set_mode()
        picture = cell.picture
        source = Source(picture.width_px, picture.height_px, self._codec, cell.progress.keyframe_interval_s)
        self.status = replace(self.status, epoch=self.status.epoch + 1, source=source)
        await self._become(StreamState.LIVE, None)

    def _count(self, cell: Cell, decoded_before: int, dropped_before: int) -> None:
        counts, metrics, progress = self.counts, self._parts.metrics, cell.progress
        decoded, dropped = decoded_before + progress.frames_decoded, dropped_before + progress.frames_dropped
        metrics.stream_frames_decoded_total.labels(mode=progress.mode).inc(max(0, decoded - counts.frames_decoded))
        metrics.stream_frames_dropped_total.labels(reason="damaged").inc(max(0, dropped - counts.frames_dropped))
        counts.frames_decoded, counts.frames_dropped = decoded, dropped
        source = self.status.source
        if source is not None and cell.picture is not None:
            picture = cell.picture
            self.status = replace(
                self.status,
                source=Source(picture.width_px, picture.height_px, self._codec, cell.progress.keyframe_interval_s),
            )

    def _set_mode(self) -> bool:
        """Have the camera decoded as attention wants; whether that is new."""
        if self._attention.mode == self.status.mode:
            return False
        self.status = replace(self.status, mode=self._attention.mode)
        if self._process is not None:
            self._process.set_mode(self._attention.mode)
        return True

    # -- the windows

    def _offer(self, window: Window) -> None:
        if self._pending is not None:
            self._drop("busy")
        self._pending = self.status.epoch, window
        self._due.set()

    def _drop(self, reason: str) -> None:
        self.counts.windows_dropped += 1
        self._parts.metrics.windows_dropped_total.labels(reason=reason).inc()

    async def _look_on(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            assert self._pending is not None
            (epoch, window), self._pending = self._pending, None
            try:
                await self._look(epoch, window)
            except Fenced:
                raise
            except Unavailable:  # the engine is ending, or the shared state is away
                self._drop("unavailable")
            except FoveaError as error:
                log.warning("a window of stream %s was not recognised: %s", self.subscription.id, error)
                self._drop("error")

    async def _look(self, epoch: int, window: Window) -> None:
        counts, subscription = self.counts, self.subscription
        plan = self._parts.pipeline.plan(subscription.options())
        granted = self._parts.pool.borrow(subscription.id, plan.step_flops[0], plan.most_flops, time.monotonic())
        if granted is None:
            self._drop("budget")
            return
        if granted < plan.most_flops:  # B is the credit where that is less than what was asked for
            options = replace(subscription.options(), budget_flops=min(plan.budget_flops, granted), max_flops=granted)
            plan = self._parts.pipeline.plan(options)
        reused = len(set(window.keys_T) & self._memory.keys())
        spent_flops = 0
        try:
            num_crops = self._sampling.rule.num_crops
            clip = window.clip(self._codec, counts.frames_decoded - self._told[0], num_crops)
            recognition = await self._parts.pipeline.look(plan, clip, Reuse(window.keys_T, self._memory))
            spent_flops = recognition.spent_flops
        finally:
            self._parts.pool.settle(subscription.id, spent_flops)
        age_s = time.monotonic() - window.captured_s
        counts.results += 1
        counts.spent_flops += spent_flops
        self._parts.metrics.stream_frame_age_seconds.observe(age_s)
        look = Look(
            stream=subscription.id,
            epoch=epoch,
            window=window,
            recognition=recognition,
            min_score=subscription.min_score,
            captured_at_s=time.time() - age_s,
            frame_age_s=age_s,
            frames_decoded=counts.frames_decoded - self._told[0],
            frames_dropped=counts.frames_dropped - self._told[1],
            windows_dropped=counts.windows_dropped - self._told[2],
            frames_reused=reused,
        )
        self._told = counts.frames_decoded, counts.frames_dropped, counts.windows_dropped
        await self._tell(look)
        await self._attend(recognition)

    async def _tell(self, look: Look) -> None:
        label = _label(look.recognition, self.subscription.min_score)
        news = not self._has_told or label != self._told_label
        if news or self.subscription.on is Emit.RESULT:
            await self._append("result", self._parts.wording.result(look))
            self._told_label, self._has_told = label, True

    async def _attend(self, recognition: Recognition) -> None:
        """Decode more or less of the camera, as the scene asks for."""
        glance = recognition.steps[0]
        settled = len(recognition.steps) == 1 and recognition.exit_reason is not ExitReason.CEILING
        sight = Sight(_label(recognition, 0.0), glance.entropy_nats, settled)
        source = self.status.source
        self._attention.note(sight, None if source is None else source.keyframe_interval_s)
        if self.status.state is StreamState.LIVE and self._set_mode():
            await self._tell_state()

    # -- the state

    async def _become(self, state: StreamState, trouble: Trouble | None) -> None:
        gauge = self._parts.metrics.stream_state
        gauge.labels(state=self.status.state).dec()
        gauge.labels(state=state).inc()
        since_s = self.status.since_s if state is self.status.state else time.time()
        self.status = replace(self.status, state=state, since_s=since_s, trouble=trouble)
        await self._tell_state()

    async def _tell_state(self) -> None:
        """A camera goes on though the shared state is away: its results are dropped meanwhile, and counted."""
        with contextlib.suppress(Unavailable):
            await self._append("state", self._parts.wording.state(self.subscription.id, self.status))
            await self.report()

    async def _append(self, name: str, data: str) -> None:
        self._last_id = await self._parts.state.append(
            self.subscription.id, self.token, name, data, after=self._last_id
        )


def _label(recognition: Recognition, min_score: float) -> str | None:
    """The likeliest, if it is likely enough."""
    probabilities_C = recognition.steps[-1].probabilities_C
    best = int(probabilities_C.argmax())
    return recognition.labels[best] if probabilities_C[best] >= min_score else None


def _cell_us(subscription: Subscription) -> tuple[int, int]:
    cell_us = subscription.cell_s * 10**6
    return cell_us.numerator, cell_us.denominator
