"""One camera's pictures: opened, listened to, opened again for ever; laid out in windows. Knows no engine, no ledger.

Never waits for who looks at the windows.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fovea.words import ErrorClass, StreamState
from service.addresses.policy import AddressPolicy, AddressRefused
from service.metrics import Metrics
from service.streams.attention import Attention, Sight
from service.streams.backoff import Backoff
from service.streams.journal import Journal
from service.streams.sharing import Process
from service.streams.status import Source, Trouble
from service.streams.subscription import Subscription
from service.streams.windows import Window, Windows
from video.camera.live import Broken, CameraSource, Cell, Lost, Opened, Patience, Sampling, Waiting
from video.clip import ClipRule, VideoLimits

log = logging.getLogger(__name__)


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


class Ingest:
    """`offer` gets every window as soon as it is complete, with the codec."""

    def __init__(
        self,
        subscription: Subscription,
        rule: ClipRule,
        terms: Terms,
        *,
        start_process: Callable[[], Awaitable[Process]],
        journal: Journal,
        metrics: Metrics,
        offer: Callable[[Window, str], None],
    ) -> None:
        self._subscription = subscription
        self._terms = terms
        self._start_process = start_process
        self._journal = journal
        self._metrics = metrics
        self._offer = offer
        self._sampling = Sampling(rule, _cell_us(subscription), terms.limits, subscription.clock)
        self._patience = Patience(
            subscription.connect_timeout_s or terms.patience.connect_s,
            subscription.open_timeout_s or terms.patience.open_s,
            subscription.stall_timeout_s or terms.patience.stall_s,
        )
        self._windows = Windows(rule.num_frames, subscription.stride_cells, float(subscription.cell_s))
        self._attention = Attention(
            subscription.decode, window_s=subscription.window_s, least_keyframes=terms.least_keyframes
        )
        self._backoff = Backoff(terms.backoff_cap_s, terms.auth_retry_s)
        self._process: Process | None = None
        journal.show(mode=self._attention.mode)

    async def run(self) -> None:
        """For ever. Raises Fenced."""
        journal = self._journal
        try:
            while True:
                lost = await self._watch_once()
                wait_s = self._backoff.lost(lost.error_class, time.monotonic())
                journal.counts.reconnects += journal.status.state is StreamState.LIVE
                self._metrics.stream_reconnects_total.labels(error_class=lost.error_class).inc()
                retry_at_s = time.time() + wait_s
                trouble = Trouble(lost.error_class, lost.detail, self._backoff.attempts, retry_at_s)
                await journal.become(StreamState.RECONNECTING, trouble)
                await asyncio.sleep(wait_s)
        finally:
            if self._process is not None:
                await self._process.end()

    async def attend(self, sight: Sight) -> None:
        """Decode more or less of the camera, as the scene asks for. Raises Fenced."""
        source = self._journal.status.source
        self._attention.note(sight, None if source is None else source.keyframe_interval_s)
        if self._journal.status.state is StreamState.LIVE and self._set_mode():
            await self._journal.tell_state()

    async def _watch_once(self) -> Lost:
        """From opening the camera to its loss."""
        try:
            address = await self._terms.policy.resolve(self._subscription.url)
            process = await self._running_process()
        except AddressRefused as error:
            return Lost(error.error_class, error.detail)
        except OSError as error:
            log.error("%s", error)
            return Lost(ErrorClass.CRASHED, "the process that decodes this camera does not start")
        self._attention.start_anew()
        self._journal.show(mode=self._attention.mode)
        process.open(self._source(address), self._patience, self._sampling, self._attention.mode)
        return await self._listen(process)

    async def _running_process(self) -> Process:
        if self._process is not None and not self._process.is_alive:
            await self._process.end()
            self._process = None
        if self._process is None:
            self._process = await self._start_process()
        return self._process

    def _source(self, address: str) -> CameraSource:
        url, transport, terms = self._subscription.url, self._subscription.transport, self._terms
        return CameraSource(
            url.pinned(address), url.host, address, url.port, transport, terms.ca_file, terms.verify, terms.policy.ports
        )

    async def _listen(self, process: Process) -> Lost:
        """Take in what the camera shows until it is lost."""
        counts = self._journal.counts
        before = counts.frames_decoded, counts.frames_dropped
        codec, is_first = "", True
        while True:
            match await process.message():
                case Opened(codec):
                    pass
                case Waiting(since_s):
                    await self._tell_blind(since_s)
                case Broken():
                    is_first = True
                case Cell() as cell:
                    if is_first and cell.picture is not None:
                        is_first = False
                        await self._begin_epoch(cell, codec)
                    self._count(cell, codec, *before)
                    window = self._windows.take(cell)
                    if window is not None:
                        self._offer(window, codec)
                case Lost() as lost:
                    return lost

    async def _tell_blind(self, since_s: float) -> None:
        """Once a wait: why there are no pictures though the camera plays."""
        status = self._journal.status
        if status.state is StreamState.LIVE or (status.trouble and status.trouble.error_class is ErrorClass.BLIND):
            return
        detail = f"it plays; for {since_s:.0f} s its next keyframe has been waited for, which may be half a minute away"
        await self._journal.become(status.state, Trouble(ErrorClass.BLIND, detail, self._backoff.attempts, None))

    async def _begin_epoch(self, cell: Cell, codec: str) -> None:
        self._backoff.live(time.monotonic())
        self._windows.start_anew()
        self._attention.start_anew()
        self._set_mode()
        source = _shown(cell, codec)
        assert source is not None
        await self._journal.begin_epoch(source)

    def _count(self, cell: Cell, codec: str, decoded_before: int, dropped_before: int) -> None:
        counts, metrics, progress = self._journal.counts, self._metrics, cell.progress
        decoded, dropped = decoded_before + progress.frames_decoded, dropped_before + progress.frames_dropped
        metrics.stream_frames_decoded_total.labels(mode=progress.mode).inc(max(0, decoded - counts.frames_decoded))
        metrics.stream_frames_dropped_total.labels(reason="damaged").inc(max(0, dropped - counts.frames_dropped))
        counts.frames_decoded, counts.frames_dropped = decoded, dropped
        self._journal.show(source=_shown(cell, codec))

    def _set_mode(self) -> bool:
        """Have the camera decoded as attention wants; whether that is new."""
        if self._attention.mode == self._journal.status.mode:
            return False
        self._journal.show(mode=self._attention.mode)
        if self._process is not None:
            self._process.set_mode(self._attention.mode)
        return True


def _shown(cell: Cell, codec: str) -> Source | None:
    picture = cell.picture
    if picture is None:
        return None
    progress = cell.progress
    return Source(picture.width_px, picture.height_px, codec, progress.keyframe_interval_s, progress.clock)


def _cell_us(subscription: Subscription) -> tuple[int, int]:
    cell_us = subscription.cell_s * 10**6
    return cell_us.numerator, cell_us.denominator
