"""Cores that pieces of work share as an operating system divides them. Knows not what the work is."""

import asyncio


class Cores:
    """Processor sharing: of n pieces of work each gets min(1, cores / n) of a core."""

    def __init__(self, num: float) -> None:
        self._num = num
        self._left: dict[asyncio.Future[None], float] = {}
        self._noted_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.busy_s = 0.0  # of all cores together

    async def work(self, cpu_s: float) -> None:
        """Returns after so many seconds of one core."""
        self._catch_up()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left[done] = cpu_s
        self._set_timer()
        await done

    def _rate(self) -> float:
        return min(1.0, self._num / len(self._left))

    def _catch_up(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._left:
            each_s = (now_s - self._noted_s) * self._rate()
            self.busy_s += each_s * len(self._left)
            self._left = {done: left - each_s for done, left in self._left.items()}
        self._noted_s = now_s

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._left:
            after_s = max(0.0, min(self._left.values()) / self._rate())
            self._timer = asyncio.get_running_loop().call_later(after_s, self._ring)

    def _ring(self) -> None:
        self._catch_up()
        for done in [done for done, left in self._left.items() if left <= 1e-9]:
            del self._left[done]
            if not done.done():
                done.set_result(None)
        self._set_timer()
