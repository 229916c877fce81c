"""Numbers that only grow, by day, in the ledger's SQLite file."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from service.ledger.counters import KEPT_DAYS
from service.ledger.database import Database

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS counters (day TEXT NOT NULL, name TEXT NOT NULL, amount INTEGER NOT NULL, "
    "PRIMARY KEY (day, name)) WITHOUT ROWID"
)


class SqliteCounters:
    """In the ledger's file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, day: date, amounts: Mapping[str, int]) -> None:
        rows = [(day.isoformat(), name, amount) for name, amount in amounts.items()]
        oldest = (day - timedelta(days=KEPT_DAYS)).isoformat()

        def work(file: sqlite3.Connection) -> None:
            file.execute(SCHEMA)
            file.executemany(
                "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount",
                rows,
            )
            file.execute("DELETE FROM counters WHERE day <= ?", (oldest,))

        await self._database.run(work)

    async def of(self, days: Sequence[date]) -> list[dict[str, int]]:
        def work(file: sqlite3.Connection) -> list[dict[str, int]]:
            file.execute(SCHEMA)
            query = "SELECT name, amount FROM counters WHERE day = ?"
            return [dict(file.execute(query, (day.isoformat(),)).fetchall()) for day in days]

        return await self._database.run(work)
