"""What one request spends, and on whose account: reserved, counted as it goes, settled. Knows no HTTP."""

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from fovea.errors import Unauthenticated
from service.engine.lanes import ANYBODY, Owner
from service.keys.key import Key, Scope
from service.keys.quota import Charge, Meter, Standing
from service.keys.ring import KeyRing
from service.keys.usage import Usage

log = logging.getLogger(__name__)

T = TypeVar("T")


class Accounts:
    """Where spending is charged and counted."""

    def __init__(self, meter: Meter, usage: Usage, ring: KeyRing | None = None) -> None:
        self.meter = meter
        self.usage = usage
        self._ring = ring
        self._settling: set[asyncio.Task[Any]] = set()

    def spending(self, key: Key | None) -> "Spending":
        """Of one request; `key` None: nobody's, which is counted, and not limited."""
        return Spending(self, key)

    def spending_of(self, name: str) -> "Spending":
        """Of work that goes on for the key of that name, long after it was asked for; empty: nobody's.

        Raises Unauthenticated where that key opens nothing any more.
        """
        if self._ring is None or not name:
            return self.spending(None)
        key = self._ring.named(name)
        if key is None:
            raise Unauthenticated(f"the key {name!r} opens nothing any more")
        return self.spending(key)

    def weight_of(self, name: str) -> float:
        """Of the key of that name; 1 where it opens nothing any more."""
        key = None if self._ring is None else self._ring.named(name)
        return 1.0 if key is None else key.owner.weight

    def owners(self, scope: Scope) -> list[Owner]:
        """Of all keys in force that open this."""
        return [] if self._ring is None else [key.owner for key in self._ring.in_force if key.opens(scope)]

    def later(self, charge: Charge, spent: int) -> None:
        """Settle it beside what goes on."""
        self.beside(self.meter.settle(charge, spent))

    def beside(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Done to its end, also where whoever waits for it is cancelled: half a charge is nobody's."""
        task = asyncio.create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        return task

    async def close(self) -> None:
        await asyncio.gather(*self._settling, return_exceptions=True)
        await self.meter.close()


class Spending:
    """A context manager: what was reserved and not spent is given back at its end, however it ends.

    `spend` may be called after that: a step may end after its client left, and is charged all the same.
    """

    def __init__(self, accounts: Accounts, key: Key | None) -> None:
        self.model = ""  # filled by whoever makes the plan
        self.spent_flops = 0
        self._accounts = accounts
        self._key = key
        self._charge: Charge | None = None
        self._closed = False

    @property
    def owner(self) -> Owner:
        return ANYBODY if self._key is None else self._key.owner

    @property
    def standings(self) -> list[Standing]:
        return [] if self._charge is None else self._charge.standings

    async def reserve(self, flops: int) -> None:
        """The most it can spend; again, where that is known better. Raises QuotaExceeded, InvalidOption."""
        if self._key is None:
            return
        accounts = self._accounts
        if self._charge is not None:
            before, self._charge = self._charge, None
            await asyncio.shield(accounts.beside(accounts.meter.settle(before, 0)))
        charging = accounts.beside(accounts.meter.charge(self._key, "flops", flops))
        try:
            self._charge = await asyncio.shield(charging)
        except asyncio.CancelledError:
            charging.add_done_callback(self._give_back)
            raise

    def spend(self, flops: int) -> None:
        self.spent_flops += flops
        self._accounts.usage.spent(self.owner.name, self.model, flops)
        if self._closed and self._charge is not None:
            self._accounts.later(self._charge, self.spent_flops)

    def answered(self) -> None:
        self._accounts.usage.answered(self.owner.name, self.model)

    async def settle(self) -> None:
        """What it has spent is all: from now on `standings` say so."""
        if self._charge is not None:
            await asyncio.shield(self._accounts.beside(self._accounts.meter.settle(self._charge, self.spent_flops)))

    def _give_back(self, charging: "asyncio.Task[Charge]") -> None:
        """Whoever asked for it had left before it was taken."""
        if not charging.cancelled() and charging.exception() is None:
            self._accounts.later(charging.result(), 0)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._charge is not None:
                self._accounts.later(self._charge, self.spent_flops)

    def __enter__(self) -> "Spending":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
