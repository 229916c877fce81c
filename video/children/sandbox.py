"""Decoding in supervised child processes: a hang, a crash or a bomb costs its own request and nothing else.

Knows neither what is in a video nor who asked. (The standard pools and Pebble's break as a whole when one worker is
killed, hence a supervisor of our own: one socket and one tending task per child.)
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fovea.errors import DecodeCrashed, DecodeTimeout, Draining, Unavailable, VideoLimitExceeded
from video.children.file_process import DecodeProcess, ProcessLost
from video.children.followed_upload import FollowedUpload
from video.children.pace import DecodePace, Estimate
from video.children.turns import Turns
from video.clip import Clip, ClipRule, DecodePrice, EarlyFrames, Look, VideoLimits
from video.rate import Rate

_MAX_FAILED_STARTS = 5  # in a row; then those who wait are told, and trying goes on slowly
_MAX_PAUSE_S = 10.0  # between tries
_SHORT_LIFE_S = 1.0  # a child that ends sooner without having been asked anything counts as a failed start
_SETTLE_S = 1.0  # that a child may go on with a video nobody waits for
_MAX_LOST_CHILDREN = 4  # that one request may meet dead on arrival or see die
_COSTLY_TIMEOUTS = 3.0  # that a costly video may take where it is decoded with what others leave of the cores; no
# more may be estimated, either: prices are upper bounds, and codecs differ by as much from the mean
_MAX_DEATHS = 2  # of children at work on one video: the first may have been killed for another's greed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    path: Path
    rule: ClipRule
    look: Look
    early: EarlyFrames | None


class Sandbox:
    """`num_children` decoding processes, each killed at `timeout_s` and replaced whenever it ends.

    Videos that are estimated to take more than `costly_s` have their turn apart. `on_estimate` hears of every video's.
    One event loop's; nothing of it is bound to a loop before `start`.
    """

    def __init__(
        self,
        *,
        num_children: int,
        limits: VideoLimits,
        timeout_s: float,
        address_space_bytes: int,
        costly_s: float = 3.0,
        on_estimate: Callable[[Estimate], None] = lambda estimate: None,
        recycle_after: int = 1000,
        niceness: int = 5,
    ) -> None:
        self._num_children = num_children
        self._limits = limits
        self._timeout_s = timeout_s
        self._address_space_bytes = address_space_bytes
        self._costly_s = costly_s
        self._on_estimate = on_estimate
        self._recycle_after = recycle_after
        self._niceness = niceness
        self._children: set[DecodeProcess] = set()
        self._turns = Turns[DecodeProcess](num_children, lambda child: not child.gone.is_set())
        self._tending: list[asyncio.Task[None]] = []
        self._settling: set[asyncio.Task[None]] = set()
        self._following: list[FollowedUpload] = []  # the oldest first
        self._is_closed = False
        self.num_running = 0
        self.decode_rate = Rate()  # videos that are not costly over one child's seconds, waiting not counted
        self.pace = DecodePace()

    @property
    def num_waiting(self) -> int:
        """Requests that wait for a free child."""
        return self._turns.num_waiting

    @property
    def num_following(self) -> int:
        """Uploads that are decoded while they arrive."""
        return len(self._following)

    @property
    def pids(self) -> list[int]:
        """Of the children that live."""
        return [child.pid for child in self._children if not child.gone.is_set()]

    async def start(self) -> None:
        """Start the children and wait until they are ready. Raises Unavailable when none of them starts."""
        assert not self._tending
        first_tries = [asyncio.Event() for _ in range(self._num_children)]
        self._tending = [asyncio.create_task(self._tend(tried)) for tried in first_tries]
        try:
            await asyncio.gather(*(tried.wait() for tried in first_tries))
            if not self._children:
                raise _unavailable()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End all children and wait for them; whoever waits or decodes gets Draining."""
        self._is_closed = True
        self._turns.fail(Draining.refused())
        await asyncio.gather(*(following.close() for following in self._following))
        tasks = [*self._tending, *self._settling]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def decode(
        self,
        path: Path,
        rule: ClipRule,
        look: Look = None,
        *,
        on_costly: Callable[[Estimate], None] = lambda estimate: None,
        on_scan: Callable[[float, float], None] = lambda began_s, ended_s: None,
        early: EarlyFrames | None = None,
    ) -> Clip:
        """The clip of the video at `path`, decoded by the next free child, first come first served.

        With a `look`, those frames of it; `early` ones as they are. No child and no open file is held between two looks
        at one video.

        A video whose packets tell that it is costly gives its child back undecoded: `on_costly` is called, and may
        raise; then it waits its turn among its like. `on_scan` hears when its packets were read (monotonic). A child
        that dies over a video is followed by one more try.
        Raises VideoUnreadable, NoVideoStream, VideoLimitExceeded (also for one that could not be done in the timeout),
        DecodeTimeout, DecodeCrashed; Draining once closed, Unavailable where children do not start
        or do not live. Cancelled, the child has a second to finish before it is killed.
        """
        asked = _Asked(path, rule, look, early)
        answer = await self._try(asked, self.pace.pixels_in(self._costly_s), on_scan)
        if isinstance(answer, Clip):
            return answer
        estimate = self.pace.estimate(answer)
        if estimate.seconds > (limit_s := _COSTLY_TIMEOUTS * self._timeout_s):
            raise _hopeless(estimate, limit_s)
        on_costly(estimate)
        clip = await self._try(asked, None, on_scan)
        assert isinstance(clip, Clip)
        return clip

    def follow(
        self, path: Path, rule: ClipRule, look: Look, num_bytes: int, end_from: int | None = None
    ) -> FollowedUpload | None:
        """Begin to decode a video of which the first `num_bytes` have arrived, and those from `end_from` on; None where
        no child is idle for it.

        Its child is given to whoever waits for one, at once: half of the children at most follow uploads. What comes
        out is decoded at no more than the price of a video that is not costly.
        """
        most = max(1, self._num_children // 2)
        if self._is_closed or len(self._following) >= most or (child := self._turns.take_idle()) is None:
            return None

        def end() -> None:
            self._following.remove(following)
            if not child.is_busy:
                self._reuse(child)
            else:
                child.kill()

        most_pixels = self.pace.pixels_in(self._costly_s)
        child.follow(path, rule, self._limits, look, num_bytes, most_pixels, end_from)
        following = FollowedUpload(child, self._timeout_s, end)
        self._following.append(following)
        return following

    def _give_way(self) -> None:
        """Somebody is about to wait for a child: the one that follows an upload for the longest is given back."""
        if not self._turns.has_free:
            for following in self._following:
                if following.stop():
                    return

    async def _try(
        self,
        asked: "_Asked",
        most_pixels: int | None,
        on_scan: Callable[[float, float], None],
    ) -> Clip | DecodePrice:
        """The clip, or the price where that is above `most_pixels`; None: whatever it costs, in a costly one's turn."""
        num_deaths = 0  # of children that had begun
        for _ in range(_MAX_LOST_CHILDREN):
            if self._is_closed:
                raise Draining.refused()
            self._give_way()
            child = await self._turns.take(is_costly=most_pixels is None)
            try:
                return await self._ask(child, asked, most_pixels)
            except ProcessLost as lost:
                if self._is_closed:
                    raise Draining.refused() from None
                # one that died idle, before it got the video, tells nothing: another one takes over
                num_deaths += lost.began
                if lost.began:
                    _log.warning("decoding process %d died on a video", child.pid)
                if num_deaths == _MAX_DEATHS:
                    raise await _untimely_death(child) from None
            finally:
                if child.scanned_s is not None:
                    on_scan(*child.scanned_s)
                if most_pixels is None:
                    self._turns.costly_ended()
        raise Unavailable("decoding processes die before they begin; try again", retry_after_s=1)

    async def _ask(self, child: DecodeProcess, asked: "_Asked", most_pixels: int | None) -> Clip | DecodePrice:
        early = asked.early
        steps_back = most_pixels is None and self._num_children > 1  # else cheap ones would wait for it all the longer
        timeout_s = self._timeout_s * (_COSTLY_TIMEOUTS if steps_back else 1)
        self.num_running += 1
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                answer = await child.ask(
                    asked.path, asked.rule, self._limits, asked.look, most_pixels, steps_back=steps_back, early=early
                )
            if isinstance(answer, Clip):
                took_s = time.monotonic() - started_s + (0.0 if early is None else early.busy_s)
                self.pace.observe(answer.info.decode_pixels, took_s)
                if most_pixels is not None:
                    self.decode_rate.observe(1, took_s)
            return answer
        except TimeoutError:
            child.kill()
            raise DecodeTimeout(
                f"decoding was ended after {timeout_s:g} s, the most a video may take; "
                "send a shorter video or one of lower resolution",
                limit_s=timeout_s,
            ) from None
        finally:
            if most_pixels is not None and child.price is not None:
                self._on_estimate(self.pace.estimate(child.price))
            self.num_running -= 1
            if not child.is_busy:
                self._reuse(child)
            elif not child.gone.is_set():
                task = asyncio.create_task(self._settle(child))
                self._settling.add(task)
                task.add_done_callback(self._settling.discard)

    async def _settle(self, child: DecodeProcess) -> None:
        """The asker has left. Most videos are decoded sooner than a new child is started: give this one a moment.

        Else whoever leaves at once, again and again, would have children killed at the price of a request.
        """
        try:
            async with asyncio.timeout(_SETTLE_S):
                await child.settle()
        except (TimeoutError, ProcessLost):
            child.kill()
        else:
            self._reuse(child)

    def _reuse(self, child: DecodeProcess) -> None:
        if child.num_asked >= self._recycle_after:
            child.kill()
        else:
            self._turns.offer(child)

    async def _tend(self, tried: asyncio.Event) -> None:
        """Keep one child alive, forever. `tried` is set when it has started, or has failed to often enough."""
        num_failed = 0
        while True:
            if num_failed:
                await asyncio.sleep(min(_MAX_PAUSE_S, 0.05 * 2**num_failed))
            try:
                child = await DecodeProcess.start(
                    address_space_bytes=self._address_space_bytes, niceness=self._niceness
                )
            except OSError as error:
                num_failed += 1
                _log.error("%s (failure %d in a row)", error, num_failed)
                if num_failed >= _MAX_FAILED_STARTS:
                    tried.set()
                    if not self._children:
                        self._turns.fail(_unavailable())
                continue
            started_s = time.monotonic()
            self._children.add(child)
            tried.set()
            self._turns.offer(child)
            try:
                await child.gone.wait()
            finally:
                self._children.discard(child)
                await child.end()
            short = child.num_asked == 0 and time.monotonic() - started_s < _SHORT_LIFE_S
            num_failed = num_failed + 1 if short else 0


def _hopeless(estimate: Estimate, limit_s: float) -> VideoLimitExceeded:
    return VideoLimitExceeded(
        f"decoding this video takes {estimate}, more than the {limit_s:g} s up to which it is tried; send a shorter "
        "part, at a lower resolution or with more keyframes",
        decode_s=round(estimate.seconds, 3),
        decode_gpixels=estimate.price.gpixels,
        limit_s=limit_s,
    )


async def _untimely_death(child: DecodeProcess) -> Exception:
    """Whose fault it is that children die of a video: the decoder's, or of whoever killed them."""
    if await child.crashed():
        return DecodeCrashed(
            "the decoder crashed on this video, twice; it may be damaged, re-encode it before sending it again"
        )
    return Unavailable(
        "the process that decoded this video was killed, twice: the machine may be short of memory; try again",
        retry_after_s=5,
    )


def _unavailable() -> Unavailable:
    return Unavailable(
        "no video can be decoded now: the decoding processes do not start; the service's log says why", retry_after_s=10
    )
