"""The parent's side of a video that is decoded while it arrives: one child's, for as long as nobody else needs it.

Knows not why decoding began, nor what is in the video.
"""

import asyncio
from collections.abc import Callable

from video.children import early_wire
from video.children.file_process import DecodeProcess, ProcessLost
from video.clip import EarlyFrames

PATIENCE_S = 20.0  # that a child may follow one upload; what is decoded by then is kept
_TO_YIELD_S = 2.0  # that a child may take to give way: one packet's work, and some frames to send


class FollowedUpload:
    """An upload that a child follows. `on_end` hears once that the child is done with it, or killed. Needs a loop."""

    def __init__(
        self,
        child: DecodeProcess,
        timeout_s: float,
        on_end: Callable[[], None],
    ) -> None:
        """`child`: has been asked to `follow`. `timeout_s`: that it may take after the last byte."""
        self._child = child
        self._timeout_s = timeout_s
        self._on_end = on_end
        self._is_over = False
        self._has_ended = False
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(PATIENCE_S, self.stop)
        self._task = self._loop.create_task(self._follow())

    @property
    def is_done(self) -> bool:
        return self._task.done()

    def arrived(self, num_bytes: int) -> None:
        """So many bytes lie in the file."""
        if not self.is_done:
            self._child.tell(early_wire.arrived(num_bytes))

    def ended(self) -> None:
        """All of it lies there."""
        if not self.is_done and not self._has_ended:
            self._has_ended = True
            self._child.tell(early_wire.ENDED)
            if not self._is_over:
                self._give_it(self._timeout_s)

    def stop(self) -> bool:
        """Its child is needed elsewhere, or nobody waits for the upload any more. False: it was told so before."""
        if self.is_done or self._is_over:
            return False
        self._is_over = True
        self._child.tell(early_wire.OVER)
        self._give_it(_TO_YIELD_S)
        return True

    async def frames(self) -> EarlyFrames | None:
        """What was decoded; after `ended` or `stop`, soon. None where the child was lost."""
        await asyncio.wait([self._task])
        return None if self._task.cancelled() else self._task.result()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    def _give_it(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._child.kill)

    async def _follow(self) -> EarlyFrames | None:
        try:
            return await self._child.followed()
        except ProcessLost:
            self._child.kill()
            return None
        finally:
            self._timer.cancel()
            self._on_end()
