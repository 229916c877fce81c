"""What both twins of the state promise: the one in memory and the one in a real Redis server."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from fovea.errors import Unavailable
from service.ledger.base import Event, Fenced, Record, State, id_key
from service.ledger.memory import MemoryLedger
from service.ledger.redis_ledger import RedisLedger
from tests.redis_server import RedisServer, redis_server

LEASE_S = 30.0
KEPT = 10


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
async def state(request: pytest.FixtureRequest) -> AsyncIterator[State]:
    if request.param == "memory":
        state: State = MemoryLedger(events_kept=KEPT)
    else:
        server = request.getfixturevalue("server")
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
        state = RedisLedger(server.url, events_kept=KEPT)
    yield state
    await state.close()


@pytest.fixture
async def held(state: State) -> str:
    """The token by which stream `a` is held."""
    assert await state.add(Record("a", "text"), 10)
    assert await state.take("a", "token-1", LEASE_S)
    return "token-1"


async def test_streams_are_kept_in_the_order_of_their_ids(state: State) -> None:
    for name in ("b", "a", "c"):
        assert await state.add(Record(name, f"text of {name}"), 10)
    assert [record.id for record in await state.records()] == ["a", "b", "c"]
    assert await state.record("b") == Record("b", "text of b")
    assert await state.record("nobody") is None


async def test_no_more_streams_than_the_limit_are_kept(state: State) -> None:
    assert [await state.add(Record(name, ""), 2) for name in "abc"] == [True, True, False]
    assert await state.remove("a")
    assert await state.add(Record("c", ""), 2)


async def test_a_stream_is_held_by_one_at_a_time(state: State, held: str) -> None:
    assert not await state.take("a", "token-2", LEASE_S)
    await state.give_up("a", "token-2")  # not theirs to give
    assert not await state.take("a", "token-2", LEASE_S)
    await state.give_up("a", held)
    assert await state.take("a", "token-2", LEASE_S)
    assert await state.keep(Record("a", "text"), held, LEASE_S) == "lost"


async def test_a_lease_that_is_not_renewed_is_free_for_others(state: State) -> None:
    await state.add(Record("a", ""), 10)
    assert await state.take("a", "token-1", 0.05)
    await asyncio.sleep(0.2)
    assert await state.take("a", "token-2", LEASE_S)


async def test_a_stream_that_is_not_there_cannot_be_held(state: State) -> None:
    assert not await state.take("nobody", "token", LEASE_S)


async def test_nothing_is_written_for_a_stream_that_another_holds(state: State, held: str) -> None:
    with pytest.raises(Fenced):
        await state.append("a", "token-2", "result", "{}")
    with pytest.raises(Fenced):
        await state.report("a", "token-2", "live")
    assert await state.events("a", "0-0") == []
    assert await state.status("a") is None


async def test_ids_rise_and_events_come_after_the_id_asked_for(state: State, held: str) -> None:
    ids = [await state.append("a", held, "result", str(number)) for number in range(5)]
    assert sorted(ids, key=id_key) == ids
    assert len(set(ids)) == 5
    assert [event.data for event in await state.events("a", ids[1])] == ["2", "3", "4"]
    assert await state.events("a", "0-0", limit=2) == [Event(ids[0], "result", "0"), Event(ids[1], "result", "1")]
    assert await state.ends("a") == (ids[0], ids[-1])


async def test_an_id_is_larger_than_the_one_it_has_to_come_after(state: State, held: str) -> None:
    far = "99999999999999-7"
    first = await state.append("a", held, "result", "{}", after=far)
    assert id_key(first) > id_key(far)
    assert id_key(await state.append("a", held, "result", "{}")) > id_key(first)


async def test_the_oldest_events_are_forgotten(state: State, held: str) -> None:
    for number in range(KEPT + 3):
        await state.append("a", held, "result", str(number))
    assert [event.data for event in await state.events("a", "0-0")] == [str(number) for number in range(3, KEPT + 3)]


async def test_whoever_waits_hears_of_the_next_event(state: State, held: str) -> None:
    waiting = [asyncio.create_task(state.events("a", "0-0", wait_s=30)) for _ in range(2)]
    await asyncio.sleep(0.05)
    event_id = await state.append("a", held, "state", "{}")
    for heard in await asyncio.gather(*waiting):
        assert [event.id for event in heard] == [event_id]


async def test_waiting_ends_when_nothing_happens(state: State, held: str) -> None:
    assert await state.events("a", "0-0", wait_s=0.05) == []


async def test_a_removed_stream_leaves_its_last_event_and_fences_its_holder(state: State, held: str) -> None:
    waiting = asyncio.create_task(state.events("a", "0-0", wait_s=30))
    await asyncio.sleep(0.05)
    assert await state.remove("a", Event("", "state", "deleted"))
    assert [event.data for event in await waiting] == ["deleted"]
    assert not await state.remove("a")
    assert await state.record("a") is None
    with pytest.raises(Fenced):
        await state.append("a", held, "result", "{}")
    assert await state.keep(Record("a", "text"), held, LEASE_S) == "removed"


async def test_a_report_is_there_for_everybody(state: State, held: str) -> None:
    await state.report("a", held, "live")
    assert await state.status("a") == "live"


async def test_reading_is_remembered(state: State, held: str) -> None:
    assert await state.unread_s("a") < 5
    await asyncio.sleep(0.3)
    unread_s = await state.unread_s("a")
    assert unread_s >= 0.25
    await state.read("a")
    assert await state.unread_s("a") < unread_s


async def test_replicas_that_fall_silent_are_forgotten(state: State) -> None:
    assert list(await state.present("x", 0.1)) == ["x"]
    assert list(await state.present("y", 30)) == ["x", "y"]
    await asyncio.sleep(0.2)
    assert list(await state.present("y", 30)) == ["y"]


@pytest.mark.parametrize("text", ["", "5", "-1-0", "1-2-3", "a-b", "1 -2", "9" * 40 + "-1"])
def test_what_is_no_event_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no event id"):
        id_key(text)


def test_ids_rise_in_memory_though_the_clock_is_put_back() -> None:
    times = iter([1000.0, 900.0, 900.0, 1000.5])

    async def ids() -> list[str]:
        state = MemoryLedger(events_kept=KEPT, wall=lambda: next(times))
        await state.add(Record("a", ""), 1)
        await state.take("a", "token", LEASE_S)
        return [await state.append("a", "token", "result", "{}") for _ in range(4)]

    assert asyncio.run(ids()) == ["1000000-0", "1000000-1", "1000000-2", "1000500-0"]


async def test_a_restarted_redis_gets_back_what_holders_have() -> None:
    """Persistence off: it comes back empty."""
    with redis_server() as server:
        ours, theirs = (RedisLedger(server.url, events_kept=KEPT) for _ in range(2))
        record = Record("a", "rtsp://user:secret@camera/")
        await ours.add(record, 10)
        await ours.take("a", "token-1", LEASE_S)
        last_id = await ours.append("a", "token-1", "result", "{}")
        server.kill()
        with pytest.raises(Unavailable) as caught:
            await ours.append("a", "token-1", "result", "{}")
        assert "127.0.0.1" not in caught.value.detail  # an address, which may hold Redis's own password
        server.start()
        assert await theirs.records() == []
        with pytest.raises(Unavailable):  # not Fenced: nobody has taken it over
            await ours.append("a", "token-1", "result", "{}")
        assert await ours.keep(record, "token-1", LEASE_S) == "kept"
        assert not await theirs.take("a", "token-2", LEASE_S)
        assert await theirs.records() == [record]
        assert id_key(await ours.append("a", "token-1", "result", "{}", after=last_id)) > id_key(last_id)
        await ours.close()
        await theirs.close()
