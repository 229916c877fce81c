"""What a run knows beside its result: which inputs there are, and the rows of those that are answered. An SQLite file.

A row is there whole or not at all, once for each input, whenever the process is killed: the file's transactions see to
that. Knows no video and no file of results.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from service.batch.inputs import Input

FORMAT = 2
PAGE = 1000  # inputs and rows that are read or noted at a time

_TABLES = """
CREATE TABLE terms (format INTEGER NOT NULL, terms TEXT NOT NULL);
CREATE TABLE inputs (
    number INTEGER PRIMARY KEY, key BLOB UNIQUE NOT NULL, source TEXT NOT NULL, listing INTEGER, stamp TEXT NOT NULL
);
CREATE TABLE answers (number INTEGER PRIMARY KEY, answered INTEGER NOT NULL, answer TEXT NOT NULL);
"""


class JournalError(ValueError):
    """The journal cannot be used; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing has come to."""

    inputs: int  # all that are known, of this listing and earlier ones
    repeated: int  # named again in this listing, or spelled in another way
    changed: int = 0  # since they had a row, which is gone: they are done again


@dataclass(frozen=True, slots=True)
class Counts:
    answered: int
    failed: int


class Journal:
    """One process's, while it is open. All of it raises JournalError where the file cannot be written."""

    def __init__(self, path: Path, terms: Mapping[str, Any]) -> None:
        """Open it, or begin it. `terms`: plain values that all rows depend on; JournalError where they are others now.

        Also where another process has it, or the folder cannot be written to.
        """
        self.path = path
        with self._translated():
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=1)
        try:
            with self._translated():
                self._begin(terms)
        except BaseException:
            self._connection.close()
            raise

    def _begin(self, terms: Mapping[str, Any]) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")  # a killed process loses nothing, a power cut the last rows at most
        run("BEGIN EXCLUSIVE")
        if not run("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _TABLES.split(";"):
                run(statement)
            run("INSERT INTO terms VALUES (?, ?)", (FORMAT, json.dumps(terms)))
        elif not run("SELECT EXISTS (SELECT 1 FROM answers)").fetchone()[0]:
            run("UPDATE terms SET terms = ?", (json.dumps(terms),))  # nothing depends on them yet
        begun_by, text = run("SELECT format, terms FROM terms").fetchone()
        run("COMMIT")
        if begun_by != FORMAT:
            raise JournalError(f"{self.path} is of format {begun_by}, and this version reads {FORMAT}; remove it")
        if told := _differences(json.loads(text), dict(terms)):
            raise JournalError(
                f"{self.path} holds rows of another run ({told}): go on with the same options, settings "
                "and bundles, or remove it to begin anew"
            )

    def list_inputs(self, inputs: Iterable[Input]) -> Listed:
        """Note those that are new. One whose key is known keeps its first spelling and its place.

        It keeps its row, too, unless its stamp tells that the video is another now; one that is gone since is not.
        """
        with self._translated():
            (last,) = self._connection.execute("SELECT coalesce(max(listing), 0) FROM inputs").fetchone()
            repeated, changed, source = 0, 0, iter(inputs)
            while page := [(one.key, one.source, last + 1, one.stamp) for one in islice(source, PAGE)]:
                self._connection.execute("BEGIN")
                changed += self._connection.executemany(
                    "DELETE FROM answers WHERE number = "
                    "(SELECT number FROM inputs WHERE key = :key AND :stamp NOT IN ('', stamp))",
                    [{"key": key, "stamp": stamp} for key, _, _, stamp in page],
                ).rowcount
                cursor = self._connection.executemany(
                    "INSERT INTO inputs (key, source, listing, stamp) VALUES (?, ?, ?, ?) ON CONFLICT (key) "
                    "DO UPDATE SET listing = excluded.listing, stamp = iif(excluded.stamp = '', stamp, excluded.stamp) "
                    "WHERE listing < excluded.listing",
                    page,
                )
                repeated += len(page) - cursor.rowcount
                self._connection.execute("COMMIT")
        return Listed(self.num_inputs(), repeated, changed)

    def num_inputs(self) -> int:
        with self._translated():
            (known,) = self._connection.execute("SELECT count(*) FROM inputs").fetchone()
        return int(known)

    def pending(self) -> Iterator[tuple[int, Input]]:
        """Those without a row, with their numbers, in their order. Rows may be kept meanwhile."""
        last = 0
        while True:
            with self._translated():
                page = self._connection.execute(
                    "SELECT number, source, key FROM inputs WHERE number > ? "
                    "AND NOT EXISTS (SELECT 1 FROM answers WHERE answers.number = inputs.number) "
                    "ORDER BY number LIMIT ?",
                    (last, PAGE),
                ).fetchall()
            if not page:
                return
            last = page[-1][0]
            yield from ((number, Input(source, key)) for number, source, key in page)

    def keep(self, number: int, answer: Mapping[str, Any], *, answered: bool) -> None:
        """The input's answer, or its problem, as plain values. One that has an answer already keeps that."""
        with self._translated():
            self._connection.execute(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?)",
                (number, answered, json.dumps(answer, separators=(",", ":"))),
            )

    def counts(self) -> Counts:
        with self._translated():
            found = self._connection.execute(
                "SELECT coalesce(sum(answered), 0), coalesce(sum(1 - answered), 0) FROM answers"
            )
            return Counts(*found.fetchone())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Of all that have one, in the order of the inputs: `source`, and what was kept."""
        last = 0
        while True:
            with self._translated():
                page = self._connection.execute(
                    "SELECT number, source, answer FROM inputs JOIN answers USING (number) "
                    "WHERE number > ? ORDER BY number LIMIT ?",
                    (last, PAGE),
                ).fetchall()
            if not page:
                return
            last = page[-1][0]
            yield from ({"source": source} | json.loads(answer) for _, source, answer in page)

    def close(self) -> None:
        self._connection.close()

    def remove(self) -> None:
        """Once its rows are elsewhere."""
        self.close()
        for name in (f"{self.path}-wal", f"{self.path}-shm", str(self.path)):
            Path(name).unlink(missing_ok=True)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(self._told(error)) from None

    def _told(self, error: sqlite3.Error) -> str:
        text = str(error)
        if "locked" in text:
            return f"another process works on {self.path}; wait for it, or name another --out"
        if "unable to open" in text or "readonly" in text:
            return f"{self.path} cannot be written ({text}); choose --out in a folder that you may write to"
        if "full" in text or os.strerror(28) in text or "disk I/O" in text:
            return (
                f"{self.path} cannot be written ({text}); make room, then the same command goes on: what it holds stays"
            )
        if "not a database" in text or "malformed" in text:
            return f"{self.path} is no journal of a run ({text}); remove it, or name another --out"
        return f"{self.path}: {text}"


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    names = sorted({name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name)})
    return ", ".join(f"{name} was {theirs.get(name)}, now {ours.get(name)}" for name in names)
