"""What only the ledger in Redis has to stand: a Redis that forgets, is away, or is not what it should be."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import redis

from fovea.errors import Unavailable
from service.ledger.base import BEFORE_ALL, LedgerRefused, Note, Record, id_key
from service.ledger.redis_ledger import RedisLedger
from tests.redis_server import RedisServer, redis_server

from .conftest import KEPT, LEASE_S

RESULT = Note("result", "{}")


async def test_a_restarted_redis_gets_back_what_holders_have() -> None:
    """Persistence off: it comes back empty."""
    with redis_server() as server:
        ledgers = [RedisLedger(server.url) for _ in range(2)]
        ours, theirs = (ledger.book("stream", events_kept=KEPT) for ledger in ledgers)
        record = Record("a", "rtsp://user:secret@camera/")
        await ours.add(record, 10)
        await ours.take("a", "token-1", LEASE_S)
        last_id = await ours.append("a", "token-1", RESULT)
        server.kill()
        with pytest.raises(Unavailable) as caught:
            await ours.append("a", "token-1", RESULT)
        assert "127.0.0.1" not in caught.value.detail  # an address, which may hold Redis's own password
        server.start()
        assert await theirs.records() == []
        with pytest.raises(Unavailable):  # not Fenced: nobody has taken it over
            await ours.append("a", "token-1", RESULT)
        assert await ours.keep(record, "token-1", LEASE_S, "live") == "kept"
        assert not await theirs.take("a", "token-2", LEASE_S)
        assert await theirs.records() == [record]
        assert await theirs.report("a") == "live"
        new_id = await ours.append("a", "token-1", RESULT, after=last_id)
        assert id_key(new_id) > id_key(last_id)
        (event,) = await theirs.events("a", BEFORE_ALL)
        assert event.before == last_id  # what a reader who is behind has missed can be told
        for ledger in ledgers:
            await ledger.close()


async def test_a_call_that_is_cancelled_at_any_moment_is_cancelled(server: RedisServer) -> None:
    """Otherwise a task that asks in a loop goes on, and whoever has cancelled it waits for ever."""
    ledger = RedisLedger(server.url)
    book = ledger.book("stream", events_kept=KEPT)
    await book.records()  # connected
    for num_turns in range(1, 40):  # of the loop; Redis answers after some ten
        asking = asyncio.create_task(book.records())
        for _ in range(num_turns):
            await asyncio.sleep(0)
        if asking.cancel():
            await asyncio.wait([asking])
            assert asking.cancelled(), f"cancelled after {num_turns} turns of the loop"
    await ledger.close()


async def test_what_redis_forgot_before_it_was_deleted_is_not_put_back(server: RedisServer) -> None:
    """A restarted Redis has no record of it when DELETE comes, and its holder has yet to notice."""
    ledger = RedisLedger(server.url)
    book = ledger.book("stream", events_kept=KEPT)
    assert not await book.remove("forgotten")
    assert await book.keep(Record("forgotten", ""), "token", LEASE_S) == "removed"
    await ledger.close()


@pytest.mark.parametrize("url", ["", "127.0.0.1:6379", "http://:secret@127.0.0.1/", "redis://:secret@127.0.0.1:port/0"])
def test_what_is_no_url_of_a_redis_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(LedgerRefused, match="write redis://:password@host:6379/0") as caught:
        RedisLedger(url)
    assert "secret" not in str(caught.value)


async def test_a_wrong_password_is_refused_and_not_shown() -> None:
    with redis_server() as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", "right")
        for url in (server.url, server.url.replace("//", "//:secret@")):
            ledger = RedisLedger(url)
            with pytest.raises(LedgerRefused, match="refuses the user or password") as caught:
                await ledger.open()
            assert "secret" not in str(caught.value)
            await ledger.close()
        ledger = RedisLedger(server.url.replace("//", "//:right@"))
        await ledger.open()
        await ledger.close()


async def test_a_redis_below_7_is_refused() -> None:
    async with answering_info("redis_version:6.2.14") as url:
        ledger = RedisLedger(url)
        with pytest.raises(LedgerRefused, match=r"version 6\.2\.14; Fovea needs 7\.0"):
            await ledger.open()
        await ledger.close()


async def test_a_redis_that_is_not_there_yet_is_waited_for() -> None:
    with redis_server() as server:
        server.kill()
        ledger = RedisLedger(server.url)
        await ledger.open()
        with pytest.raises(Unavailable):
            await ledger.book("stream", events_kept=KEPT).records()
        server.start()
        assert await ledger.book("stream", events_kept=KEPT).records() == []
        await ledger.close()


@contextlib.asynccontextmanager
async def answering_info(text: str) -> AsyncIterator[str]:
    """Speaks as much of Redis's protocol as it takes to be asked for its version."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while (head := await reader.readuntil(b"\r\n")).startswith(b"*"):
                words = []
                for _ in range(int(head[1:])):
                    length = int((await reader.readuntil(b"\r\n"))[1:])
                    words.append((await reader.readexactly(length + 2))[:-2].upper())
                match words[0]:
                    case b"INFO":
                        writer.write(f"${len(text)}\r\n{text}\r\n".encode())
                    case b"HELLO":
                        writer.write(b"%1\r\n+proto\r\n:3\r\n")
                    case _:
                        writer.write(b"+OK\r\n")
                await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield f"redis://127.0.0.1:{port}/0"
