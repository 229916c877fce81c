"""A record held for a while: taken, renewed, told of, given up. Knows no job: who is told what is its owner's.

What is told while the ledger is away is tried again; a lease that ran out meanwhile is renewed, unless another has it.
"""

import asyncio
import time

from ulid import ULID

from fovea.errors import Unavailable
from service.ledger.base import Book, Fenced, Note, Record

AGAIN_S = 0.5  # before a ledger that is away is asked again


class Lost(Exception):
    """Another holds the record now, or it is removed: what was done is not to be told."""


class Hold:
    """Of one record. `None` where it cannot be taken: use `take`."""

    def __init__(self, book: Book, record: Record, token: str, lease_s: float, asked_s: float) -> None:
        self.record = record
        self._book = book
        self._token = token
        self._lease_s = lease_s
        self._until_s = asked_s + lease_s

    @classmethod
    async def take(cls, book: Book, record: Record, lease_s: float) -> "Hold | None":
        """None where another holds it, or where it is no more. Raises Unavailable."""
        token, asked_s = f"hold_{ULID()}", time.monotonic()
        taken = await book.take(record.id, token, lease_s)
        return cls(book, record, token, lease_s, asked_s) if taken else None

    async def keep(self, report: str | None = None) -> None:
        """Renew. Raises Lost, also where the ledger has been away for longer than the lease."""
        asked_s = time.monotonic()
        try:
            keeping = await self._book.keep(self.record, self._token, self._lease_s, report)
        except Unavailable:
            if time.monotonic() >= self._until_s:
                raise Lost from None
            return
        if keeping != "kept":
            raise Lost
        self._until_s = asked_s + self._lease_s

    async def tell(self, note: Note, report: str | None = None, *, patience_s: float = 0.0) -> None:
        """Append an event, and say where the record stands. Raises Lost, and Unavailable after `patience_s`."""
        give_up_s = time.monotonic() + patience_s
        while True:
            try:
                await self._book.append(self.record.id, self._token, note, report=report)
                return
            except Fenced:
                raise Lost from None
            except Unavailable:
                if time.monotonic() >= give_up_s:
                    raise
                await asyncio.sleep(AGAIN_S)
                await self._again()

    async def give_up(self) -> None:
        """Let others take it at once. Raises Unavailable."""
        await self._book.give_up(self.record.id, self._token)

    async def _again(self) -> None:
        """The lease may have run out, or be forgotten, while the ledger was away: take it again if nobody has."""
        try:
            if await self._book.keep(self.record, self._token, self._lease_s) != "kept":
                raise Lost
        except Unavailable:
            pass
