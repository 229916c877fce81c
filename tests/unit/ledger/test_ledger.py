"""What all twins of the ledger promise: in memory, in an SQLite file, in a real Redis server."""

import asyncio

import pytest

from service.ledger.base import BEFORE_ALL, Book, Event, Fenced, Ledger, Note, Record, id_key

from .conftest import KEPT, LEASE_S


def result(data: object = "{}") -> Note:
    return Note("result", str(data))


async def test_records_are_kept_in_the_order_of_their_ids(book: Book) -> None:
    for name in ("b", "a", "c"):
        assert await book.add(Record(name, f"text of {name}"), 10) == "added"
    assert [record.id for record in await book.records()] == ["a", "b", "c"]
    assert await book.record("b") == Record("b", "text of b")
    assert await book.record("nobody") is None


async def test_no_more_records_than_the_limit_are_kept(book: Book) -> None:
    assert [await book.add(Record(name, ""), 2) for name in "abc"] == ["added", "added", "full"]
    assert await book.remove("a")
    assert await book.add(Record("c", ""), 2) == "added"


async def test_an_id_is_used_once(book: Book) -> None:
    assert await book.add(Record("a", "first"), 1) == "added"
    assert await book.add(Record("a", "second"), 1) == "there"  # rather than full: it is what was asked for
    assert await book.record("a") == Record("a", "first")
    assert await book.remove("a")
    assert await book.add(Record("a", "third"), 1) == "removed"


async def test_reports_of_several_come_at_once_and_those_of_nobody_are_left_out(book: Book, held: str) -> None:
    await book.append("a", held, result(), report="told with an event")
    assert await book.add(Record("b", ""), 10) == "added"
    assert await book.add(Record("c", ""), 10) == "added"
    assert await book.take("c", "token-2", LEASE_S)
    assert await book.keep(Record("c", ""), "token-2", LEASE_S, "told with a renewal") == "kept"
    assert await book.reports(["a", "b", "c", "d"]) == {"a": "told with an event", "c": "told with a renewal"}
    assert await book.reports([]) == {}


async def test_kinds_know_nothing_of_each_other(ledger: Ledger) -> None:
    streams, jobs = (ledger.book(kind, events_kept=KEPT) for kind in ("stream", "job"))
    assert await streams.add(Record("a", "a stream"), 1) == "added"
    assert await jobs.add(Record("a", "a job"), 1) == "added"
    assert await streams.take("a", "token-1", LEASE_S)
    assert await jobs.take("a", "token-2", LEASE_S)
    await jobs.append("a", "token-2", result())
    assert await streams.events("a", BEFORE_ALL) == []
    await jobs.present("x", "", 30)
    assert await streams.present("y", "", 30) == {"y": ""}
    assert await jobs.remove("a")
    assert await streams.record("a") == Record("a", "a stream")


async def test_a_record_is_held_by_one_at_a_time(book: Book, held: str) -> None:
    assert not await book.take("a", "token-2", LEASE_S)
    await book.give_up("a", "token-2")  # not theirs to give
    assert not await book.take("a", "token-2", LEASE_S)
    await book.give_up("a", held)
    assert await book.take("a", "token-2", LEASE_S)
    assert await book.keep(Record("a", "text"), held, LEASE_S) == "lost"


async def test_a_lease_that_is_not_renewed_is_free_for_others(book: Book) -> None:
    await book.add(Record("a", ""), 10)
    assert await book.take("a", "token-1", 0.05)
    await asyncio.sleep(0.2)
    assert await book.take("a", "token-2", LEASE_S)


async def test_a_record_that_is_not_there_cannot_be_held(book: Book) -> None:
    assert not await book.take("nobody", "token", LEASE_S)


async def test_nothing_is_written_for_a_record_that_another_holds(book: Book, held: str) -> None:
    with pytest.raises(Fenced):
        await book.append("a", "token-2", result(), report="live")
    assert await book.keep(Record("a", "text"), "token-2", LEASE_S, "live") == "lost"
    assert await book.events("a", BEFORE_ALL) == []
    assert await book.report("a") is None


async def test_ids_rise_and_events_come_after_the_id_asked_for(book: Book, held: str) -> None:
    ids = [await book.append("a", held, result(number)) for number in range(5)]
    assert sorted(ids, key=id_key) == ids
    assert len(set(ids)) == 5
    assert [event.data for event in await book.events("a", ids[1])] == ["2", "3", "4"]
    assert await book.events("a", BEFORE_ALL, limit=2) == [
        Event(ids[0], BEFORE_ALL, "result", "0"),
        Event(ids[1], ids[0], "result", "1"),
    ]
    assert await book.last_id("a") == ids[-1]


async def test_an_id_is_larger_than_the_one_it_has_to_come_after(book: Book, held: str) -> None:
    far = "99999999999999-7"
    first = await book.append("a", held, result(), after=far)
    assert id_key(first) > id_key(far)
    assert id_key(await book.append("a", held, result())) > id_key(first)
    assert [event.before for event in await book.events("a", BEFORE_ALL)] == [far, first]


async def test_the_oldest_events_are_forgotten_and_the_next_one_tells_of_it(book: Book, held: str) -> None:
    ids = [await book.append("a", held, result(number)) for number in range(KEPT + 3)]
    kept = await book.events("a", BEFORE_ALL)
    assert [event.data for event in kept] == [str(number) for number in range(3, KEPT + 3)]
    assert kept[0].before == ids[2]


async def test_whoever_waits_hears_of_the_next_event(book: Book, held: str) -> None:
    waiting = [asyncio.create_task(book.events("a", BEFORE_ALL, wait_s=30)) for _ in range(2)]
    await asyncio.sleep(0.05)
    event_id = await book.append("a", held, Note("state", "{}"))
    for heard in await asyncio.gather(*waiting):
        assert [event.id for event in heard] == [event_id]


async def test_waiting_ends_when_nothing_happens(book: Book, held: str) -> None:
    assert await book.events("a", BEFORE_ALL, wait_s=0.05) == []


async def test_a_removed_record_leaves_its_last_event_and_fences_its_holder(book: Book, held: str) -> None:
    waiting = asyncio.create_task(book.events("a", BEFORE_ALL, wait_s=30))
    await asyncio.sleep(0.05)
    assert await book.remove("a", Note("state", "deleted"))
    assert [event.data for event in await waiting] == ["deleted"]
    assert not await book.remove("a")
    assert await book.record("a") is None
    assert await book.report("a") is None
    with pytest.raises(Fenced):
        await book.append("a", held, result())
    assert await book.keep(Record("a", "text"), held, LEASE_S) == "removed"


async def test_a_report_is_there_for_everybody_whether_it_comes_with_an_event_or_not(book: Book, held: str) -> None:
    await book.append("a", held, result(), report="connecting")
    assert await book.report("a") == "connecting"
    assert await book.keep(Record("a", "text"), held, LEASE_S, "live") == "kept"
    assert await book.report("a") == "live"
    await book.append("a", held, result())
    assert await book.report("a") == "live"


async def test_what_a_holder_shows_is_there_for_everybody_for_a_while(book: Book, held: str) -> None:
    blob = bytes(range(256))
    assert await book.blob("a") is None
    with pytest.raises(Fenced):
        await book.put_blob("a", "token-2", blob, 30)
    await book.put_blob("a", held, blob, 30)
    assert await book.blob("a") == blob
    await book.put_blob("a", held, blob, 0.05)
    await asyncio.sleep(0.2)
    assert await book.blob("a") is None
    await book.put_blob("a", held, blob, 30)
    await book.remove("a")
    assert await book.blob("a") is None
    with pytest.raises(Fenced):
        await book.put_blob("a", held, blob, 30)


async def test_reading_is_remembered(book: Book, held: str) -> None:
    assert await book.unread_s("a") < 5
    await asyncio.sleep(0.3)
    unread_s = await book.unread_s("a")
    assert unread_s >= 0.25
    await book.read("a")
    assert await book.unread_s("a") < unread_s


async def test_replicas_that_fall_silent_or_leave_are_forgotten(book: Book) -> None:
    assert await book.present("x", "one", 0.1) == {"x": "one"}
    assert await book.present("y", "two", 30) == {"x": "one", "y": "two"}
    await asyncio.sleep(0.2)
    assert await book.present("y", "three", 30) == {"y": "three"}
    await book.leave("y")
    assert await book.present("z", "", 30) == {"z": ""}


async def test_a_hundred_writers_at_once_get_ids_in_one_order(book: Book, held: str) -> None:
    ids = await asyncio.gather(*(book.append("a", held, result(number)) for number in range(100)))
    assert len(set(ids)) == 100
    assert [event.id for event in await book.events("a", BEFORE_ALL)] == sorted(ids, key=id_key)[-KEPT:]


@pytest.mark.parametrize("text", ["", "5", "-1-0", "1-2-3", "a-b", "1 -2", "9" * 40 + "-1"])
def test_what_is_no_event_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no event id"):
        id_key(text)
