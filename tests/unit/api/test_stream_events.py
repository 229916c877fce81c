"""A stream's events on the wire: in order, each once; what is missing, or cannot be read, is told or left out."""

import asyncio
import json
import logging
from typing import Any

import pytest

from fovea.errors import InvalidOption
from fovea.words import StreamState
from service.api.streams.events import follow
from service.ledger.base import BEFORE_ALL, Book, Note
from service.ledger.memory import MemoryLedger
from service.streams import records
from service.streams.status import Counts, Report
from tests.unit.streams.making import STREAM, TOKEN, a_result, a_status, a_subscription

KEPT = 5


@pytest.fixture
async def book() -> Book:
    made = MemoryLedger().book("stream", events_kept=KEPT)
    await made.add(records.subscription_record(a_subscription()), 1)
    await made.take(STREAM, TOKEN, 1000)
    return made


async def told(book: Book, *, report: str | None = None, after: str | None = None) -> str:
    return await book.append(STREAM, TOKEN, records.note_of(a_result()), report=report, after=after)


async def heard(book: Book, last_id: str | None, number: int) -> list[tuple[str | None, str | None, dict[str, Any]]]:
    """The first so many events: id, name, data."""
    events = []
    async with asyncio.timeout(30):
        async for event in await follow(book, STREAM, last_id, ends=lambda: False):
            events.append((event.id, event.event, json.loads(event.data)))
            if len(events) == number:
                break
    return events


async def test_whoever_resumes_hears_what_came_after_and_nothing_twice(book: Book) -> None:
    ids = [await told(book) for _ in range(4)]
    events = await heard(book, ids[1], 2)
    assert [(event_id, name) for event_id, name, _ in events] == [(ids[2], "result"), (ids[3], "result")]


async def test_what_was_forgotten_is_a_gap_of_its_own_before_what_is_left(book: Book) -> None:
    ids = [await told(book) for _ in range(KEPT + 3)]
    (gap_id, name, data), (first_id, _, _) = await heard(book, ids[0], 2)
    assert (gap_id, name) == (None, "gap")
    assert data == {"stream": STREAM, "after": ids[0], "before": ids[3]}
    assert first_id == ids[3]


@pytest.mark.parametrize("missed", [0, 1])
async def test_a_gap_is_told_only_where_something_is_missing(book: Book, missed: int) -> None:
    """Also right at the edge: the event before the oldest one kept was heard, or was not."""
    ids = [await told(book) for _ in range(KEPT + 3)]
    names = [name for _, name, _ in await heard(book, ids[2 - missed], 2)]
    assert names == (["gap", "result"] if missed else ["result", "result"])


async def test_whoever_wants_all_from_the_beginning_is_told_that_the_beginning_is_gone(book: Book) -> None:
    await told(book)
    assert [name for _, name, _ in await heard(book, BEFORE_ALL, 1)] == ["result"]
    for _ in range(KEPT):
        await told(book)
    assert [name for _, name, _ in await heard(book, BEFORE_ALL, 2)] == ["gap", "result"]


async def test_a_ledger_that_forgot_everything_makes_a_gap_as_well(book: Book) -> None:
    """Its holder knows which event it told last."""
    lost = "1764036000123-0"
    event_id = await told(book, after=lost)
    assert [name for _, name, _ in await heard(book, "1764036000000-0", 2)] == ["gap", "result"]
    assert [id_ for id_, _, _ in await heard(book, lost, 1)] == [event_id]


async def test_whoever_begins_now_missed_nothing(book: Book) -> None:
    ids = [await told(book, report=records.report_text(Report(a_status(), Counts()))) for _ in range(KEPT + 3)]
    events = await follow(book, STREAM, None, ends=lambda: False)
    present = await anext(events)
    assert (present.id, present.event) == (None, "state")
    newest = await told(book)
    assert (await anext(events)).id == newest
    assert newest not in ids


async def test_a_follower_that_falls_behind_what_is_kept_is_told(book: Book) -> None:
    first = await told(book)
    events = await follow(book, STREAM, BEFORE_ALL, ends=lambda: False)
    assert (await anext(events)).id == first
    ids = [await told(book) for _ in range(KEPT + 2)]
    gap = await anext(events)
    assert (gap.event, json.loads(gap.data)["after"]) == ("gap", first)
    assert [(await anext(events)).id for _ in range(KEPT)] == ids[2:]


async def test_an_event_of_another_version_is_left_out_and_is_no_gap(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    first = await told(book)
    await book.append(STREAM, TOKEN, Note("result", '{"version": 99}'))
    last = await told(book)
    assert [(id_, name) for id_, name, _ in await heard(book, BEFORE_ALL, 2)] == [(first, "result"), (last, "result")]
    assert "is left out" in caplog.text


async def test_events_end_with_the_stream(book: Book) -> None:
    await told(book)
    await book.remove(STREAM, records.note_of(a_status(StreamState.DELETED)))
    events = [event async for event in await follow(book, STREAM, BEFORE_ALL, ends=lambda: False)]
    assert [event.event for event in events] == ["result", "state"]


async def test_what_is_no_event_id_is_refused(book: Book) -> None:
    with pytest.raises(InvalidOption, match="leave it out to begin now"):
        await follow(book, STREAM, "yesterday", ends=lambda: False)
