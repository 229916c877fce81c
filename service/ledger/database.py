"""One SQLite file and the thread that owns it: what is asked at the same time is committed at once. Knows no table.

Every commit is synced to the disk (WAL with synchronous=FULL): what was answered outlives `kill -9` and a power cut.
Committing together keeps that affordable: many cameras' events cost one sync.
"""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from fovea.errors import Unavailable
from service.ledger.base import LedgerRefused

log = logging.getLogger(__name__)

T = TypeVar("T")
Work: TypeAlias = Callable[[sqlite3.Connection], Any]
_Asked: TypeAlias = tuple[Work, "Future[Any]"]

APPLICATION = 0x466F7665  # "Fove": other programs' SQLite files are left alone
BUSY_S = 2.0  # for another process, which may be ending, to let go of the file
MAX_TOGETHER = 256  # pieces of work in one commit


class Database:
    """`schema` makes the tables of format `version`. Raises LedgerRefused on `open`, Unavailable afterwards."""

    def __init__(self, path: Path, schema: str, version: int) -> None:
        self._path = path
        self._schema = schema
        self._version = version
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._trouble = ""  # that the log holds already, until something was written again
        self._changes = 0

    async def open(self) -> None:
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._own, args=(opened,), name="ledger", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(opened)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, once it is committed. It runs in the thread, and must not commit."""
        if self._thread is None:
            raise Unavailable("the ledger is closed")
        done: Future[T] = Future()
        self._asked.put((work, done))
        return await asyncio.wrap_future(done)

    async def close(self) -> None:
        """What was asked before is done first."""
        if self._thread is not None:
            self._asked.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    # -- in the thread

    def _own(self, opened: "Future[None]") -> None:
        try:
            connection = self._connect()
        except LedgerRefused as error:
            opened.set_exception(error)
            return
        except (sqlite3.Error, OSError) as error:
            opened.set_exception(LedgerRefused(f"{self._path} cannot be used as the ledger: {_why(error)}"))
            return
        opened.set_result(None)
        with contextlib.closing(connection):
            while (together := self._next()) is not None:
                self._commit(connection, together)

    def _next(self) -> list[_Asked] | None:
        """All that is asked by now, one piece at least; None at the end."""
        first = self._asked.get()
        if first is None:
            return None
        together = [first]
        while len(together) < MAX_TOGETHER and not self._asked.empty():
            asked = self._asked.get()
            if asked is None:
                self._asked.put(None)  # after these
                break
            together.append(asked)
        return together

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.touch(mode=0o600)  # passwords of cameras lie here
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # one process a file; let go of when it dies, however
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        (num_tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if num_tables and owner != APPLICATION:
            raise LedgerRefused(
                f"{self._path} is another program's SQLite file; point FOVEA_STATE_DIR at a folder of Fovea's own"
            )
        if num_tables and found != self._version:
            raise LedgerRefused(
                f"{self._path} has format {found}, this Fovea reads format {self._version}; start the version that "
                "wrote it, or point FOVEA_STATE_DIR elsewhere. The file was left as it is"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        problems = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
        if problems != ["ok"]:
            raise LedgerRefused(_damaged(self._path, problems[0]))
        connection.executescript(
            f"BEGIN IMMEDIATE; {self._schema}; PRAGMA application_id = {APPLICATION}; "
            f"PRAGMA user_version = {self._version}; COMMIT;"
        )

    def _commit(self, connection: sqlite3.Connection, together: list[_Asked]) -> None:
        """One transaction for all; where that fails, one for each, so that each gets its own error."""
        try:
            answers = _transaction(connection, [work for work, _ in together])
        except Exception as error:  # the thread's edge: a bug in one piece of work is its asker's to hear of
            self._changes = connection.total_changes  # also those that were taken back
            if len(together) == 1:
                self._fail(together[0][1], error)
                return
            for asked in together:
                self._commit(connection, [asked])
            return
        if connection.total_changes > self._changes:
            self._trouble, self._changes = "", connection.total_changes
        for (_, done), answer in zip(together, answers, strict=True):
            if done.set_running_or_notify_cancel():
                done.set_result(answer)

    def _fail(self, done: "Future[Any]", error: Exception) -> None:
        if isinstance(error, sqlite3.Error):
            why = _why(error)
            if why != self._trouble:
                log.error("the ledger cannot be written or read: %s", why)
            self._trouble = why
            error = Unavailable(f"the ledger cannot be written or read: {why}", retry_after_s=10)
        if done.set_running_or_notify_cancel():
            done.set_exception(error)


def _transaction(connection: sqlite3.Connection, works: list[Work]) -> list[Any]:
    connection.execute("BEGIN")
    try:
        answers = [work(connection) for work in works]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return answers


def _why(error: Exception) -> str:
    """What is wrong, and what to do about it."""
    text = str(error)
    if "locked" in text:
        return "another process uses it; one FOVEA_STATE_DIR serves one process, and FOVEA_REDIS_URL many"
    if "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        return f"{text}: this process may not write there; change the owner, or point FOVEA_STATE_DIR elsewhere"
    if "full" in text or "disk I/O" in text:
        return f"{text}: make room on the disk of FOVEA_STATE_DIR; nothing that was answered is lost"
    if "not a database" in text or "malformed" in text:
        return _broken(text)
    if isinstance(error, OSError):
        return f"{error.strerror}: point FOVEA_STATE_DIR at a folder that can be made and written"
    return text


def _damaged(path: Path, problem: str) -> str:
    return f"{path} cannot be used as the ledger: {_broken(problem)}"


def _broken(problem: str) -> str:
    return f"{problem}: the file is damaged; restore a copy, or move it away and subscribe to the cameras again"
