"""A ledger of one process on one machine, in an SQLite file: the default. Twin of `memory` and `redis_ledger`.

Records, events and the reports that came with events outlive the process. Leases, presences and who has read last do
not: whoever held them is gone. Ids are made of wall-clock time, and rise though it is put back.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.ledger.base import (
    BEFORE_ALL,
    LAST_WORDS_S,
    REMOVED_S,
    Adding,
    Event,
    Keeping,
    Kind,
    Note,
    Record,
    fenced,
    id_key,
    id_text,
)
from service.ledger.counters import Counters
from service.ledger.database import Database
from service.ledger.holds import Holds
from service.ledger.sqlite_counters import SqliteCounters
from service.ledger.waiting import Bells

FILE = "ledger.sqlite3"
VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, id TEXT NOT NULL,
    text TEXT,               -- PASSWORDS of cameras; NULL: removed
    report TEXT,
    removed_s REAL,          -- wall-clock
    PRIMARY KEY (kind, id)
);
CREATE TABLE IF NOT EXISTS events (
    kind TEXT NOT NULL, id TEXT NOT NULL,
    ms INTEGER NOT NULL, seq INTEGER NOT NULL, before TEXT NOT NULL,
    name TEXT NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (kind, id, ms, seq)
)
"""
Key = tuple[str, str]


@dataclass(slots=True)
class SqliteBook:
    kind: Kind
    events_kept: int
    database: Database
    wall: Callable[[], float]
    holds: Holds
    _reports: dict[str, str] = field(default_factory=dict)  # of renewals: newer than those in the file
    _bells: Bells = field(default_factory=Bells)

    async def add(self, record: Record, limit: int) -> Adding:
        def work(file: sqlite3.Connection) -> Adding:
            self._sweep(file)
            found = file.execute("SELECT text FROM records WHERE kind = ? AND id = ?", self._key(record.id)).fetchone()
            if found is not None:
                return "removed" if found[0] is None else "there"
            (number,) = file.execute(
                "SELECT count(*) FROM records WHERE kind = ? AND text IS NOT NULL", (self.kind,)
            ).fetchone()
            if number >= limit:
                return "full"
            file.execute("INSERT INTO records (kind, id, text) VALUES (?, ?, ?)", (*self._key(record.id), record.text))
            return "added"

        return await self.database.run(work)

    async def records(self) -> list[Record]:
        query = "SELECT id, text FROM records WHERE kind = ? AND text IS NOT NULL ORDER BY id"
        return await self.database.run(lambda file: [Record(*row) for row in file.execute(query, (self.kind,))])

    async def record(self, record_id: str) -> Record | None:
        text = await self.database.run(lambda file: self._text(file, record_id))
        return None if text is None else Record(record_id, text)

    async def remove(self, record_id: str, last: Note | None = None) -> bool:
        def work(file: sqlite3.Connection) -> bool:
            if self._text(file, record_id) is None:
                return False
            file.execute(
                "UPDATE records SET text = NULL, report = NULL, removed_s = ? WHERE kind = ? AND id = ?",
                (self.wall(), *self._key(record_id)),
            )
            if last is not None:
                self._append(file, record_id, last, None)
            return True

        was_there = await self.database.run(work)
        self._reports.pop(record_id, None)
        self.holds.forget(record_id)
        self._bells.ring(record_id)
        return was_there

    async def read(self, record_id: str) -> None:
        self.holds.read(record_id)

    async def unread_s(self, record_id: str) -> float:
        return self.holds.unread_s(record_id)

    async def take(self, record_id: str, token: str, lease_s: float) -> bool:
        return await self.record(record_id) is not None and self.holds.take(record_id, token, lease_s)

    async def keep(self, record: Record, token: str, lease_s: float, report: str | None = None) -> Keeping:
        if await self.record(record.id) is None:
            return "removed"
        keeping = self.holds.keep(record.id, token, lease_s)
        if keeping == "kept" and report is not None:
            self._reports[record.id] = report
        return keeping

    async def give_up(self, record_id: str, token: str) -> None:
        self.holds.give_up(record_id, token)

    async def append(
        self, record_id: str, token: str, note: Note, *, after: str | None = None, report: str | None = None
    ) -> str:
        def work(file: sqlite3.Connection) -> str:
            if self._text(file, record_id) is None:
                raise fenced(record_id)
            self.holds.check(record_id, token)
            if report is not None:
                file.execute("UPDATE records SET report = ? WHERE kind = ? AND id = ?", (report, *self._key(record_id)))
            return self._append(file, record_id, note, after)

        event_id = await self.database.run(work)
        if report is not None:
            self._reports.pop(record_id, None)
        self._bells.ring(record_id)
        return event_id

    async def report(self, record_id: str) -> str | None:
        query = "SELECT report FROM records WHERE kind = ? AND id = ? AND text IS NOT NULL"
        row = await self.database.run(lambda file: file.execute(query, self._key(record_id)).fetchone())
        kept: str | None = None if row is None else row[0]
        return self._reports.get(record_id, kept)

    async def reports(self, record_ids: Sequence[str]) -> dict[str, str]:
        query = "SELECT id, report FROM records WHERE kind = ? AND text IS NOT NULL AND report IS NOT NULL"
        kept = dict(await self.database.run(lambda file: file.execute(query, (self.kind,)).fetchall()))
        told = kept | self._reports
        return {record_id: told[record_id] for record_id in record_ids if record_id in told}

    async def events(self, record_id: str, after: str, *, wait_s: float = 0.0, limit: int = 100) -> list[Event]:
        query = (
            "SELECT ms, seq, before, name, data FROM events WHERE kind = ? AND id = ? AND (ms, seq) > (?, ?) "
            "ORDER BY ms, seq LIMIT ?"
        )
        arguments = (*self._key(record_id), *id_key(after), limit)

        async def news() -> list[Event]:
            rows = await self.database.run(lambda file: file.execute(query, arguments).fetchall())
            return [Event(id_text((ms, seq)), before, name, data) for ms, seq, before, name, data in rows]

        return await self._bells.wait(record_id, news, wait_s)

    async def last_id(self, record_id: str) -> str | None:
        last_id = await self.database.run(lambda file: self._last_id(file, record_id))
        return None if last_id == BEFORE_ALL else last_id

    async def put_blob(self, record_id: str, token: str, blob: bytes, for_s: float) -> None:
        if await self.record(record_id) is None:
            raise fenced(record_id)
        self.holds.put_blob(record_id, token, blob, for_s)

    async def blob(self, record_id: str) -> bytes | None:
        return self.holds.blob(record_id)

    async def present(self, replica: str, about: str, for_s: float) -> dict[str, str]:
        return self.holds.present(replica, about, for_s)

    async def leave(self, replica: str) -> None:
        self.holds.leave(replica)

    # -- in the database's thread

    def _key(self, record_id: str) -> Key:
        return self.kind, record_id

    def _text(self, file: sqlite3.Connection, record_id: str) -> str | None:
        row = file.execute("SELECT text FROM records WHERE kind = ? AND id = ?", self._key(record_id)).fetchone()
        return None if row is None else row[0]

    def _last_id(self, file: sqlite3.Connection, record_id: str) -> str:
        row = file.execute(
            "SELECT ms, seq FROM events WHERE kind = ? AND id = ? ORDER BY ms DESC, seq DESC LIMIT 1",
            self._key(record_id),
        ).fetchone()
        return BEFORE_ALL if row is None else id_text(row)

    def _append(self, file: sqlite3.Connection, record_id: str, note: Note, after: str | None) -> str:
        before = max(self._last_id(file, record_id), after or BEFORE_ALL, key=id_key)
        milliseconds, sequence = id_key(before)
        key = max((int(self.wall() * 1000), 0), (milliseconds, sequence + 1))  # also where the clock was put back
        file.execute(
            "INSERT INTO events (kind, id, ms, seq, before, name, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*self._key(record_id), *key, before, note.name, note.data),
        )
        file.execute(
            "DELETE FROM events WHERE kind = ? AND id = ? AND (ms, seq) <= (SELECT ms, seq FROM events "
            "WHERE kind = ? AND id = ? ORDER BY ms DESC, seq DESC LIMIT 1 OFFSET ?)",
            (*self._key(record_id), *self._key(record_id), self.events_kept),
        )
        return id_text(key)

    def _sweep(self, file: sqlite3.Connection) -> None:
        """Forget what was removed long enough ago."""
        now_s = self.wall()
        file.execute(
            "DELETE FROM events WHERE kind = ? AND id IN (SELECT id FROM records WHERE kind = ? AND removed_s < ?)",
            (self.kind, self.kind, now_s - LAST_WORDS_S),
        )
        file.execute("DELETE FROM records WHERE kind = ? AND removed_s < ?", (self.kind, now_s - REMOVED_S))


class SqliteLedger:
    """In `folder`, which is made where it is missing."""

    def __init__(
        self, folder: Path, *, wall: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = Database(folder / FILE, SCHEMA, VERSION)
        self._wall = wall
        self._clock = clock
        self._books: dict[Kind, SqliteBook] = {}

    async def open(self) -> None:
        await self._database.open()

    def book(self, kind: Kind, *, events_kept: int) -> SqliteBook:
        made = SqliteBook(kind, events_kept, self._database, self._wall, Holds(self._clock))
        return self._books.setdefault(kind, made)

    def counters(self) -> Counters:
        return SqliteCounters(self._database)

    async def close(self) -> None:
        await self._database.close()
