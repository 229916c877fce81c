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
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from ulid import ULID

from fovea.errors import KeyInUse, KeyReused, Overloaded, Unavailable
from service.jobs.hold import Hold, Lost
from service.jobs.shares import KeptShares
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
    """`retention_s`: that an answer is given again. `weight_of`: an owner's, for its share of the keys."""

    def __init__(
        self, book: Book, *, retention_s: float, weight_of: Callable[[str], float], max_keys: int = MAX_KEYS
    ) -> None:
        self._book = book
        self._max_keys = max_keys
        self._shares = KeptShares(max_keys, weight_of)
        self._retention_s = retention_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._look_after())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def turn(self, owner: str, scope: str, key: str, fingerprint: str) -> AsyncIterator[Turn]:
        """`scope`: within which keys are the owner's own. Raises KeyReused, KeyInUse, Overloaded, Unavailable."""
        made = Turn()
        said = {"fingerprint": fingerprint, "ulid": made.ulid, "created_s": made.created_s, "owner": owner}
        record = Record(hashlib.sha256(f"{owner} {scope}\n{key}".encode()).hexdigest(), json.dumps(said))
        share = self._shares.beyond(owner)
        if share is not None and await self._book.record(record.id) is None:
            raise Overloaded(
                f"{owner or 'whoever asks without a key'} has its share of the idempotency keys that are kept: {share} "
                f"of {self._max_keys}; try again later, or leave it out",
                retry_after_s=60,
            )
        match await self._book.add(record, self._max_keys):
            case "added":
                self._shares.added(owner)
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
        while True:  # at the start, too: what is kept counts
            try:
                await self._sweep()
            except Unavailable:
                pass
            except Exception:  # the task's edge: the next turn may do
                log.exception("looking after idempotency keys failed; going on")
            await asyncio.sleep(SWEEP_S * random.uniform(0.8, 1.2))

    async def _sweep(self) -> None:
        owners = []
        for record in await self._book.records():
            said = json.loads(record.text)
            if time.time() - said["created_s"] > self._retention_s:
                await self._book.remove(record.id)
            else:
                owners.append(said.get("owner", ""))
        self._shares.count(owners)


async def _keep(hold: Hold) -> None:
    with contextlib.suppress(Lost):
        while True:
            await asyncio.sleep(LEASE_S / 4)
            await hold.keep()
