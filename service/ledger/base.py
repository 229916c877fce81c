"""What outlives a request, as values and two protocols: records, leases and events, by kind. Knows no camera.

A ledger has one book per kind. A replica holds a record by a lease; every write on behalf of a record carries the
lease's token, so that a replica that was paused, and whose lease went to another, writes nothing more. What records,
reports and events say is text in their owner's own words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from fovea.errors import FoveaError, Unavailable
from service.ledger.counters import Counters

Kind: TypeAlias = Literal["stream", "job", "cancel", "key", "webhook", "load"]

BEFORE_ALL = "0-0"  # smaller than every event's id
EVENT_ID = re.compile(r"(\d{1,15})-(\d{1,15})")
REMOVED_S = 3600.0  # that a removed record is remembered as removed: its holder does not put it back
LAST_WORDS_S = 60.0  # that a removed record's events can still be read

Adding: TypeAlias = Literal["added", "there", "full", "removed"]
"""What became of a new record: kept; its id is taken; there are too many; its id was removed a short time ago."""

Keeping: TypeAlias = Literal["kept", "lost", "removed"]
"""What became of a lease that was to be renewed: still ours; another's; the record is no more."""


class Fenced(FoveaError):
    """The record is another replica's by now, or is removed: nothing was written."""

    slug = "fenced"
    title = "It is held elsewhere"


class LedgerRefused(FoveaError):
    """The ledger cannot be used as it is set up: trying again does not help, a person has to do something."""

    slug = "ledger-refused"
    title = "The ledger cannot be used"


def fenced(record_id: str) -> Fenced:
    return Fenced(f"{record_id} is removed, or held by another replica")


def free(record_id: str) -> Unavailable:
    return Unavailable(f"nobody holds {record_id} at the moment: its lease has to be renewed first")


@dataclass(frozen=True, slots=True)
class Record:
    """`text` is its owner's own format, and may hold a password."""

    id: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be appended as an event."""

    name: str
    data: str  # its owner's own format


@dataclass(frozen=True, slots=True)
class Event:
    """`id` is `<ms>-<seq>`, larger than that of every event before it; `before` is the id of the one just before it.

    Where `before` is not the event that a reader had last, what lay between is forgotten.
    """

    id: str
    before: str
    name: str
    data: str


def id_key(event_id: str) -> tuple[int, int]:
    """By which ids are ordered. Raises ValueError where it is none."""
    match = EVENT_ID.fullmatch(event_id)
    if match is None:
        raise ValueError(f"{event_id[:40]!r} is no event id; one reads like 1764036000123-0")
    return int(match[1]), int(match[2])


def id_text(key: tuple[int, int]) -> str:
    return f"{key[0]}-{key[1]}"


class Book(Protocol):
    """Everything of one kind. All of it raises Unavailable where what is behind it cannot be reached."""

    async def add(self, record: Record, limit: int) -> Adding:
        """Keep a new record, as long as there are fewer than `limit`."""
        ...

    async def records(self) -> list[Record]:
        """All of them, by id (which are ULIDs: oldest first)."""
        ...

    async def record(self, record_id: str) -> Record | None: ...

    async def remove(self, record_id: str, last: Note | None = None) -> bool:
        """Forget a record, its lease and report with it; `last` becomes its last event. False: there was none.

        A ledger that can forget (Redis) remembers the removal of what is not there, too: its holder may have still to
        put it back.
        """
        ...

    async def read(self, record_id: str) -> None:
        """Somebody has shown interest just now."""
        ...

    async def unread_s(self, record_id: str) -> float:
        """Seconds since somebody has; since the first question, where nobody ever did."""
        ...

    async def take(self, record_id: str, token: str, lease_s: float) -> bool:
        """Hold the record for `lease_s`, if it is there and nobody holds it."""
        ...

    async def keep(self, record: Record, token: str, lease_s: float, report: str | None = None) -> Keeping:
        """Renew, and let everybody know where it stands; also puts back what was forgotten altogether (a restarted
        Redis)."""
        ...

    async def give_up(self, record_id: str, token: str) -> None:
        """Let others take it at once."""
        ...

    async def append(
        self, record_id: str, token: str, note: Note, *, after: str | None = None, report: str | None = None
    ) -> str:
        """The new event's id, larger than `after`, too; at one stroke with `report`.

        Raises Fenced; Unavailable where nobody holds the record.
        """
        ...

    async def report(self, record_id: str) -> str | None:
        """Where it stands, as its holder has told last."""
        ...

    async def reports(self, record_ids: Sequence[str]) -> dict[str, str]:
        """Of several at once; those that nobody has told of are left out."""
        ...

    async def events(self, record_id: str, after: str, *, wait_s: float = 0.0, limit: int = 100) -> list[Event]:
        """The first events after that id, waiting up to `wait_s` while there are none."""
        ...

    async def last_id(self, record_id: str) -> str | None:
        """Of the newest event kept."""
        ...

    async def put_blob(self, record_id: str, token: str, blob: bytes, for_s: float) -> None:
        """Something of the holder's that others may want to see for a while, such as a picture; it outlives no restart.

        Raises as `append`.
        """
        ...

    async def blob(self, record_id: str) -> bytes | None: ...

    async def present(self, replica: str, about: str, for_s: float) -> dict[str, str]:
        """Note that `replica` lives; all that do, with what each says about itself."""
        ...

    async def leave(self, replica: str) -> None:
        """Take back one's presence."""
        ...


class Ledger(Protocol):
    async def open(self) -> None:
        """Raises LedgerRefused, which says what to do about it."""
        ...

    def book(self, kind: Kind, *, events_kept: int) -> Book:
        """`events_kept` of each record."""
        ...

    def counters(self) -> Counters:
        """Numbers that only grow, by day."""
        ...

    async def close(self) -> None: ...
