"""How full other replicas are, as they say every second. Knows a number from each, and not what it is made of."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from ulid import ULID

from fovea.errors import Unavailable
from service.ledger.base import Book

log = logging.getLogger(__name__)

EVERY_S = 1.0
COUNTS_S = 3.0  # that a replica counts after it was heard


class Peers:
    """One event loop's. While the ledger is away nothing is known of others."""

    def __init__(self, book: Book, load: Callable[[], float]) -> None:
        """`load`: one's own."""
        self._book = book
        self._load = load
        self._name = f"rep_{ULID()}"
        self._others: list[float] = []

    @property
    def least_load(self) -> float | None:
        """Of the others; None where none is known."""
        return min(self._others, default=None)

    async def run(self) -> None:
        """For ever; cancelled, it takes back its presence."""
        try:
            while True:
                await self._turn()
                await asyncio.sleep(EVERY_S)
        finally:
            with contextlib.suppress(Unavailable):
                await self._book.leave(self._name)

    async def _turn(self) -> None:
        try:
            said = await self._book.present(self._name, f"{self._load():.3f}", COUNTS_S)
        except Unavailable:
            self._others = []
            return
        loads = [_load_of(about) for name, about in said.items() if name != self._name]
        self._others = [load for load in loads if load is not None]


def _load_of(about: str) -> float | None:
    """None of one that says something else: of another version."""
    try:
        return float(about)
    except ValueError:
        return None
