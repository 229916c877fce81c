"""What the service remembers of streams, as values and a protocol. Knows neither cameras nor where it is kept.

A replica holds a stream by a lease; every write on behalf of a stream carries the lease's token, so that a replica that
was paused, and whose lease went to another, writes nothing more.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from fovea.errors import FoveaError, Unavailable

EVENT_ID = re.compile(r"(\d{1,15})-(\d{1,15})")

Keeping: TypeAlias = Literal["kept", "lost", "removed"]
"""What became of a lease that was to be renewed: still ours; another's; the stream is no more."""


class Fenced(FoveaError):
    """The stream is another replica's by now, or is removed: nothing was written."""

    slug = "fenced"
    title = "The stream is held elsewhere"


def fenced(stream: str) -> Fenced:
    return Fenced(f"stream {stream} is removed, or held by another replica")


def free(stream: str) -> Unavailable:
    return Unavailable(f"nobody holds stream {stream} at the moment: its lease has to be renewed first")


@dataclass(frozen=True, slots=True)
class Record:
    """A subscription as it is kept. `text` is its owner's own format, and may hold a password."""

    id: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """`id` is `<ms>-<seq>`, larger than that of every event before it in the stream."""

    id: str
    name: str  # "result" or "state"
    data: str  # one line of JSON


def id_key(event_id: str) -> tuple[int, int]:
    """By which ids are ordered. Raises ValueError where it is none."""
    match = EVENT_ID.fullmatch(event_id)
    if match is None:
        raise ValueError(f"{event_id[:40]!r} is no event id; one reads like 1764036000123-0")
    return int(match[1]), int(match[2])


class State(Protocol):
    """Raises Unavailable where what is behind it cannot be reached."""

    async def add(self, record: Record, limit: int) -> bool:
        """Keep a new stream; False where `limit` streams are kept already."""
        ...

    async def records(self) -> list[Record]:
        """All streams, oldest first (their ids are ULIDs)."""
        ...

    async def record(self, stream: str) -> Record | None: ...

    async def remove(self, stream: str, last: Event | None = None) -> bool:
        """Forget a stream, its lease with it; `last`'s name and data become its last event. False: there was none."""
        ...

    async def read(self, stream: str) -> None:
        """Somebody has shown interest in the stream just now."""
        ...

    async def unread_s(self, stream: str) -> float:
        """Seconds since somebody has; since the first question, where nobody ever did."""
        ...

    async def take(self, stream: str, token: str, lease_s: float) -> bool:
        """Hold the stream for `lease_s`, if it is there and nobody holds it."""
        ...

    async def keep(self, record: Record, token: str, lease_s: float) -> Keeping:
        """Renew; also puts back what the state has forgotten altogether (a Redis that was restarted)."""
        ...

    async def give_up(self, stream: str, token: str) -> None:
        """Let others take it at once."""
        ...

    async def append(self, stream: str, token: str, name: str, data: str, *, after: str | None = None) -> str:
        """The new event's id, larger than `after`, too. Raises Fenced; Unavailable where nobody holds the stream."""
        ...

    async def report(self, stream: str, token: str, status: str) -> None:
        """Let everybody know where the stream stands. Raises as `append`."""
        ...

    async def status(self, stream: str) -> str | None:
        """What was reported last."""
        ...

    async def events(self, stream: str, after: str, *, wait_s: float = 0.0, limit: int = 100) -> list[Event]:
        """The first events after that id ("0-0" is before all), waiting up to `wait_s` while there are none."""
        ...

    async def ends(self, stream: str) -> tuple[str, str] | None:
        """Ids of the oldest and the newest event kept."""
        ...

    async def present(self, replica: str, for_s: float) -> Sequence[str]:
        """Note that `replica` lives; all that do."""
        ...

    async def close(self) -> None: ...
