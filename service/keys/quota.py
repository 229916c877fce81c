"""Limits of keys, in requests and in multiply-adds: charged, and given back what was not spent. Knows no HTTP.

The windows are the `limits` library's fixed ones: a minute, or a day, from the first charge in it. They are kept in
Redis, where replicas share them. While Redis cannot be reached each replica counts by itself, so that requests go on.
"""

import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.errors import StorageError

from fovea.errors import InvalidOption, QuotaExceeded
from service.keys.key import Bound, Key

log = logging.getLogger(__name__)

ANSWER_S = 2.0  # a Redis that takes longer counts as unreachable
AGAIN_S = 5.0  # before it is asked again
PREFIX = "fovea:quota"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a key stands in one of its limits."""

    bound: Bound
    left: int  # in the bound's unit
    reset_s: float  # seconds until the window is over


@dataclass(slots=True)
class Charge:
    """What was taken from a key's limits; `settle` gives back what was too much."""

    key: Key
    amount: int = 0
    standings: list[Standing] = field(default_factory=list)
    taken_from: Storage | None = None  # None: there is no limit
    resets_s: dict[str, float] = field(default_factory=dict)  # by limit: the wall-clock time when its window is over


class Meter:
    """`redis_url`: where replicas share what was used; None: this process counts alone."""

    def __init__(self, redis_url: str | None = None, *, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._alone = MemoryStorage()
        self._shared: Storage | None = None
        self._again_s = -math.inf
        if redis_url is not None:
            options: dict[str, Any] = {"socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S}
            self._shared = RedisStorage(
                f"async+{redis_url}", wrap_exceptions=True, implementation="redispy", key_prefix=PREFIX, **options
            )

    async def charge(self, key: Key, unit: Literal["requests", "flops"], amount: int) -> Charge:
        """Take `amount` from each limit of that unit. Raises QuotaExceeded, and InvalidOption where it is more than a
        limit allows altogether; then nothing is taken."""
        bounds = key.limits.bounds(unit)
        for bound in bounds:
            if amount > bound.most:
                raise _never(key, bound, amount)
        if not bounds:
            return Charge(key)
        return await self._tried(lambda storage: self._charge(storage, key, bounds, amount))

    async def settle(self, charge: Charge, spent: int) -> None:
        """It cost `spent`: give back the rest, or take what is missing. Windows that are over by now are left alone."""
        storage, difference = charge.taken_from, spent - charge.amount
        if storage is None:
            return
        charge.amount = spent
        try:
            for number, standing in enumerate(charge.standings):
                bound = standing.bound
                if self._wall() < charge.resets_s[bound.name]:
                    used = await storage.incr(_name(charge.key, bound), bound.window_s, difference) if difference else 0
                    left = bound.most - used if difference else standing.left
                    reset_s = charge.resets_s[bound.name] - self._wall()
                    charge.standings[number] = Standing(bound, max(0, left), reset_s)
        except StorageError as error:
            self._lost(error)

    async def close(self) -> None:
        if isinstance(self._shared, RedisStorage):
            connections: Any = self._shared.bridge
            await connections.storage.aclose()

    async def _charge(self, storage: Storage, key: Key, bounds: Sequence[Bound], amount: int) -> Charge:
        charge = Charge(key, amount, taken_from=storage)
        for bound in bounds:
            used = await storage.incr(_name(key, bound), bound.window_s, amount)
            resets_s = await storage.get_expiry(_name(key, bound))
            charge.resets_s[bound.name] = resets_s
            charge.standings.append(Standing(bound, max(0, bound.most - used), resets_s - self._wall()))
            if used > bound.most:
                await self.settle(charge, 0)
                raise _exceeded(key, bound, amount, bound.most - (used - amount), resets_s - self._wall())
        return charge

    async def _tried(self, work: Callable[[Storage], Awaitable[T]]) -> T:
        """With Redis where it answers, else alone."""
        if self._shared is not None and time.monotonic() >= self._again_s:
            try:
                return await work(self._shared)
            except StorageError as error:
                self._lost(error)
        return await work(self._alone)

    def _lost(self, error: StorageError) -> None:
        kind = type(error.storage_error).__name__  # whose text may hold the URL
        log.warning("Redis cannot be asked for what keys have used (%s): this replica counts alone meanwhile", kind)
        self._again_s = time.monotonic() + AGAIN_S


def _name(key: Key, bound: Bound) -> str:
    return f"{key.name}:{bound.name}"


def amount_text(bound: Bound, amount: int) -> str:
    return f"{amount} requests" if bound.unit == "requests" else f"{amount / 1e9:g} GFLOPs"


def _exceeded(key: Key, bound: Bound, amount: int, left: int, reset_s: float) -> QuotaExceeded:
    retry_after_s = max(1, math.ceil(reset_s))
    per = "minute" if bound.name.endswith("minute") else "day"
    most, rest = amount_text(bound, bound.most), amount_text(bound, max(0, left))
    return QuotaExceeded(
        f"the key {key.name!r} may use {most} a {per}; {rest} are left, and this may need "
        f"{amount_text(bound, amount)}; try again in {retry_after_s} s",
        retry_after_s=retry_after_s,
        limit=bound.name,
    )


def _never(key: Key, bound: Bound, amount: int) -> InvalidOption:
    most = amount_text(bound, bound.most)
    return InvalidOption(
        f"this may need {amount_text(bound, amount)}, and the key {key.name!r} may use {most} ({bound.name}) at all; "
        f"ask for max_gflops={bound.most / 1e9:g} or less, or have the operator raise the limit",
        option="max_gflops",
        limit=bound.name,
    )
