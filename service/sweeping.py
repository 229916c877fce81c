"""Has something looked after for as long as the service lives: at the start, every so often, soon after a nudge.

Knows no ledger: one that is away is asked again soon.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable

from fovea.errors import Unavailable

log = logging.getLogger(__name__)

AGAIN_S = 1.0  # before what is away is asked again; nudges within that time are one


class Sweeping:
    """`sweep` does it; `what` is looked after, for the log. One event loop's."""

    def __init__(self, what: str, sweep: Callable[[], Awaitable[None]]) -> None:
        self._what = what
        self._sweep = sweep
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """There is something to do."""
        self._nudged.set()

    async def run(self, every_s: float) -> None:
        """Until it is cancelled; the first time at once: what an ended process left is to be done."""
        pause_s = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._nudged.wait()
                    await asyncio.sleep(min(pause_s, AGAIN_S))
            self._nudged.clear()
            try:
                await self._sweep()
                pause_s = every_s * random.uniform(0.8, 1.2)  # replicas do not come together
            except Unavailable:
                pause_s = AGAIN_S
            except Exception:  # the task's edge: the next turn may do
                log.exception("looking after %s failed; going on", self._what)
                pause_s = every_s
