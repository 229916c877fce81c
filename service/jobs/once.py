"""Answers that are given once: by a key that the client chose, the first answer is kept and given again.

Knows no HTTP: an answer is text. Two requests at the same time are told apart by a lease; a process that died in the
middle leaves none, and the next request begins again, under the ids that the first had.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from ulid import ULID

from fovea.errors import KeyInUse, KeyReused, Overloaded, Unavailable
from service.jobs.hold import Hold, Lost
from service.ledger.base import Book, Note, Record

log = logging.getLogger(__name__)

MAX_KEYS = 20_000
LEASE_S = 20.0
SWEEP_S = 60.0
MAX_KEPT_BYTES = 2**18  # of an answer as it is kept, deflated; a larger one is not, and asking again does it again


@dataclass(slots=True)
class Turn:
    """One request's turn with a key. `kept`: the answer that is there already; else `keep` the one that is made."""

    ulid: str = field(default_factory=lambda: str(ULID()))  # for ids that have to be the first request's
    created_s: float = field(default_factory=time.time)
    kept: str | None = None
    hold: Hold | None = None

    async def keep(self, answer: str) -> None:
        """Nothing is wrong with the answer where it cannot be kept."""
        if self.hold is not None and len(answer) <= MAX_KEPT_BYTES:
            with contextlib.suppress(Lost, Unavailable):
                await self.hold.tell(Note("answer", ""), answer)


class Once:
    """`retention_s`: that an answer is given again."""

    def __init__(self, book: Book, *, retention_s: float) -> None:
        self._book = book
        self._retention_s = retention_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._look_after())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def turn(self, scope: str, key: str, fingerprint: str) -> AsyncIterator[Turn]:
        """`scope`: within which keys are the client's own. Raises KeyReused, KeyInUse, Unavailable."""
        made = Turn()
        said = {"fingerprint": fingerprint, "ulid": made.ulid, "created_s": made.created_s}
        record = Record(hashlib.sha256(f"{scope}\n{key}".encode()).hexdigest(), json.dumps(said))
        match await self._book.add(record, MAX_KEYS):
            case "full":
                raise Overloaded(
                    "too many idempotency keys are kept; try again later, or leave it out", retry_after_s=60
                )
            case "removed":
                raise KeyReused(
                    f"Idempotency-Key {key[:40]!r} is too old: its answer is not kept any more; make a new one"
                )
            case "there":
                first = await self._book.record(record.id)
                said = said if first is None else json.loads(first.text)
                if said["fingerprint"] != fingerprint:
                    raise KeyReused(
                        f"Idempotency-Key {key[:40]!r} came before with another request; send the same path, options "
                        "and body, or make a new key"
                    )
                made = Turn(str(said["ulid"]), float(str(said["created_s"])), await self._book.report(record.id))
        if made.kept is not None:
            yield made
            return
        made.hold = await Hold.take(self._book, record, LEASE_S)
        if made.hold is None:
            raise KeyInUse(
                f"the first request with Idempotency-Key {key[:40]!r} is not answered yet; send it again in a moment",
                retry_after_s=2,
            )
        keeping = asyncio.create_task(_keep(made.hold))
        try:
            made.kept = await self._book.report(record.id)  # told a moment before it was taken
            yield made
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            with contextlib.suppress(Unavailable):
                await made.hold.give_up()

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S * random.uniform(0.8, 1.2))
            try:
                for record in await self._book.records():
                    if time.time() - json.loads(record.text)["created_s"] > self._retention_s:
                        await self._book.remove(record.id)
            except Unavailable:
                continue
            except Exception:  # the task's edge: the next turn may do
                log.exception("looking after idempotency keys failed; going on")


async def _keep(hold: Hold) -> None:
    with contextlib.suppress(Lost):
        while True:
            await asyncio.sleep(LEASE_S / 4)
            await hold.keep()
