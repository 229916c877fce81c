"""The three twins of the ledger: each test of what they promise runs with all of them, Redis a real server."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from service.ledger.base import Book, Ledger, Record
from service.ledger.memory import MemoryLedger
from service.ledger.redis_ledger import RedisLedger
from service.ledger.sqlite import SqliteLedger
from tests.redis_server import RedisServer, redis_server

LEASE_S = 30.0
KEPT = 10


@pytest.fixture(scope="package")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    made: Ledger
    match request.param:
        case "memory":
            made = MemoryLedger()
        case "sqlite":
            made = SqliteLedger(tmp_path)
        case _:
            server = request.getfixturevalue("server")
            with redis.Redis.from_url(server.url) as client:
                client.flushall()
            made = RedisLedger(server.url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def book(ledger: Ledger) -> Book:
    return ledger.book("stream", events_kept=KEPT)


@pytest.fixture
async def held(book: Book) -> str:
    """The token by which record `a` is held."""
    assert await book.add(Record("a", "text"), 10) == "added"
    assert await book.take("a", "token-1", LEASE_S)
    return "token-1"
