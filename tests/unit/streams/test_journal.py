"""What a stream tells: in order, under its lease alone, and not at all while the ledger is away."""

import pytest

from fovea.errors import Unavailable
from fovea.words import StreamState
from service.ledger.base import BEFORE_ALL, Fenced, id_key
from service.metrics import Metrics
from service.streams import records

from .making import SOURCE, STREAM, TOKEN, TROUBLE, a_book, a_journal, a_result


async def told(book) -> list:
    return [records.told_by(event) for event in await book.events(STREAM, BEFORE_ALL)]


async def test_a_state_is_an_event_and_the_report_of_it_comes_at_one_stroke() -> None:
    book = await a_book()
    journal = a_journal(book)
    await journal.begin_epoch(SOURCE)
    (event,) = await told(book)
    assert (event.state, event.epoch, event.source) == (StreamState.LIVE, 1, SOURCE)
    report = await book.report(STREAM)
    assert report is not None
    assert records.report_of(report).status == journal.status


async def test_results_come_after_one_another_and_epochs_only_rise() -> None:
    book = await a_book()
    journal = a_journal(book)
    for _ in range(3):
        await journal.begin_epoch(SOURCE)
        await journal.tell(a_result())
    events = await book.events(STREAM, BEFORE_ALL)
    assert [event.name for event in events] == ["state", "result"] * 3
    assert [one.epoch for one in await told(book) if hasattr(one, "state")] == [1, 2, 3]
    assert journal.last_id == events[-1].id


async def test_ids_go_on_from_the_last_one_that_was_told() -> None:
    book = await a_book()
    journal = a_journal(book)
    journal.last_id = "99999999999999-0"
    await journal.tell(a_result())
    assert id_key(journal.last_id) > id_key("99999999999999-0")


async def test_since_is_when_the_state_came_about_and_not_when_it_was_told_last() -> None:
    book = await a_book()
    journal = a_journal(book)
    await journal.become(StreamState.RECONNECTING, TROUBLE)
    since_s = journal.status.since_s
    await journal.become(StreamState.RECONNECTING, TROUBLE)
    assert journal.status.since_s == since_s


async def test_without_the_lease_nothing_is_told() -> None:
    book = await a_book()
    journal = a_journal(book)
    await book.give_up(STREAM, TOKEN)
    assert await book.take(STREAM, "another", 1000)
    with pytest.raises(Fenced):
        await journal.tell_state()
    with pytest.raises(Fenced):
        await journal.tell(a_result())
    await journal.hand_over()  # nothing to say any more
    assert await told(book) == []


async def test_while_nobody_holds_the_stream_states_are_dropped_and_results_say_so() -> None:
    """As after a restart of the ledger: the next renewal puts it right."""
    book = await a_book(held=False)
    journal = a_journal(book)
    await journal.begin_epoch(SOURCE)
    with pytest.raises(Unavailable):
        await journal.tell(a_result())
    assert journal.status.epoch == 1


async def test_a_stream_counts_among_those_of_its_state_while_it_is_watched() -> None:
    metrics = Metrics()
    journal = a_journal(await a_book(), metrics)

    def count(state: str) -> float:
        return metrics.registry.get_sample_value("fovea_stream_state", {"state": state}) or 0.0

    with journal.counted():
        assert count("connecting") == 1
        await journal.begin_epoch(SOURCE)
        assert (count("connecting"), count("live")) == (0, 1)
    assert count("live") == 0
