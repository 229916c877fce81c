"""What keys have used, by day, key and model: counted here, kept in the ledger. Knows no HTTP.

Counts go to the ledger every second, all together, and with the end of the service; a process that is killed loses
those of its last second. While the ledger cannot be reached they wait.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime

from fovea.errors import Unavailable
from service.ledger.counters import Counters
from service.metrics import Metrics

log = logging.getLogger(__name__)

FLUSH_S = 1.0
REQUESTS, FLOPS = "requests", "flops"


@dataclass(frozen=True, slots=True)
class Used:
    """By one key of one model."""

    key: str  # empty: without a key
    model: str
    requests: int  # that were answered; windows of cameras count
    flops: int  # also of those that were left before their answer


class Usage:
    """Of one process; `of` tells of all that share the ledger."""

    def __init__(self, metrics: Metrics, *, wall: Callable[[], float] = time.time) -> None:
        self._metrics = metrics
        self._wall = wall
        self._counters: Counters | None = None
        self._pending: dict[date, Counter[str]] = {}
        self._flushing = asyncio.Lock()

    def answered(self, key: str, model: str) -> None:
        """A request, or a camera's window."""
        self._metrics.key_requests_total.labels(key=key, model=model).inc()
        self._count(f"{key}/{model}/{REQUESTS}", 1)

    def spent(self, key: str, model: str, flops: int) -> None:
        self._metrics.key_flops_total.labels(key=key, model=model).inc(flops)
        self._count(f"{key}/{model}/{FLOPS}", flops)

    def _count(self, name: str, amount: int) -> None:
        today = datetime.fromtimestamp(self._wall(), UTC).date()
        self._pending.setdefault(today, Counter())[name] += amount

    async def of(self, days: Sequence[date]) -> list[Used]:
        """Of these days together, by key and model. Raises Unavailable."""
        if self._counters is None:
            raise Unavailable("the service is still loading; try again in a moment", retry_after_s=2)
        await self.flush()
        total: Counter[str] = Counter()
        for counted in await self._counters.of(days):
            total.update(counted)
        pairs = sorted({tuple(name.rsplit("/", 1)[0].split("/", 1)) for name in total})
        return [
            Used(key, model, total[f"{key}/{model}/{REQUESTS}"], total[f"{key}/{model}/{FLOPS}"])
            for key, model in pairs
        ]

    async def flush(self) -> None:
        """Bring what was counted to the ledger. Raises Unavailable; then it is kept for the next time."""
        async with self._flushing:
            for day in list(self._pending):
                amounts = self._pending.pop(day)
                try:
                    assert self._counters is not None
                    await self._counters.add(day, amounts)
                except BaseException:
                    self._pending.setdefault(day, Counter()).update(amounts)
                    raise

    async def run(self, counters: Counters) -> None:
        """Until it is cancelled; then once more."""
        self._counters = counters
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                with suppress(Unavailable):  # the ledger tells of it itself
                    await self.flush()
        finally:
            try:
                await self.flush()
            except Unavailable as error:
                log.error("what keys have used since the last time is lost: %s", error)
