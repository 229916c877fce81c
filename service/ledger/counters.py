"""Numbers that only grow, by day: what a ledger keeps of use. Redis's twin stands with its ledger.

A day is UTC's, as an ISO date. Days are forgotten `KEPT_DAYS` after they were.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Protocol

KEPT_DAYS = 400


class Counters(Protocol):
    """Raises Unavailable where what is behind it cannot be reached; then nothing was added."""

    async def add(self, day: date, amounts: Mapping[str, int]) -> None: ...

    async def of(self, days: Sequence[date]) -> list[dict[str, int]]:
        """Of each of these days, in their order; empty where nothing was counted."""
        ...


class MemoryCounters:
    def __init__(self) -> None:
        self._days: dict[date, dict[str, int]] = {}

    async def add(self, day: date, amounts: Mapping[str, int]) -> None:
        counted = self._days.setdefault(day, defaultdict(int))
        for name, amount in amounts.items():
            counted[name] += amount
        self._days = {one: kept for one, kept in self._days.items() if one > day - timedelta(days=KEPT_DAYS)}

    async def of(self, days: Sequence[date]) -> list[dict[str, int]]:
        return [dict(self._days.get(day, {})) for day in days]
