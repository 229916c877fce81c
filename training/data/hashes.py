"""Which file has which content, kept between runs: a file is read again only where its size or its time have changed.

Knows no video. Several processes may share it; where it cannot be used, files are read, which costs time and no more.
"""

import hashlib
import logging
import os
import sqlite3
import time
from pathlib import Path

SETTLED_S = 2.0  # a file that was written later than that may be written again within one tick of its clock

_TABLE = (
    "CREATE TABLE IF NOT EXISTS hashes "
    "(path BLOB PRIMARY KEY, size INTEGER NOT NULL, time_ns INTEGER NOT NULL, hash TEXT NOT NULL)"
)
_log = logging.getLogger(__name__)


class ContentHashes:
    """An SQLite file. Opened at its first use, in each process for itself; one thread's at a time, as SQLite has it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._known: dict[tuple[Path, int, int], str] = {}

    def of(self, path: Path) -> str:
        """Of the file's bytes, 32 hexadecimal digits. Raises OSError where it cannot be read."""
        facts = path.stat()
        known = (path, facts.st_size, facts.st_mtime_ns)
        if known not in self._known:
            key = os.fsencode(path.resolve())
            found = self._kept(key, facts.st_size, facts.st_mtime_ns)
            if found is None:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()[:32]
                if time.time() - facts.st_mtime >= SETTLED_S:
                    self._keep(key, facts.st_size, facts.st_mtime_ns, found)
            self._known[known] = found
        return self._known[known]

    def _kept(self, key: bytes, size: int, time_ns: int) -> str | None:
        asked = "SELECT hash FROM hashes WHERE path = ? AND size = ? AND time_ns = ?"
        try:
            row = self._opened().execute(asked, (key, size, time_ns)).fetchone()
        except (sqlite3.Error, OSError) as error:
            self._tell(error)
            return None
        return None if row is None else str(row[0])

    def _keep(self, key: bytes, size: int, time_ns: int, found: str) -> None:
        try:
            self._opened().execute("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?)", (key, size, time_ns, found))
        except (sqlite3.Error, OSError) as error:
            self._tell(error)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None or self._process != os.getpid():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._file, isolation_level=None, timeout=10, check_same_thread=False)
            connection.execute("PRAGMA synchronous = OFF")  # what a power cut takes is found out again
            connection.execute(_TABLE)
            self._connection, self._process = connection, os.getpid()
        return self._connection

    def _tell(self, error: Exception) -> None:
        _log.warning("%s cannot be used, files are read again: %s", self._file, error)
