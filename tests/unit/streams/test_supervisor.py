"""Which cameras a replica watches: what is taken, kept, let go and handed over. Several replicas share one book here.

Cameras are scripts; `tests/e2e/streams/test_replicas.py` has real ones, and a real Redis.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fovea.errors import InvalidOption, Overloaded, Unavailable
from fovea.words import StreamState
from service.ledger.base import BEFORE_ALL, Book, Record
from service.ledger.memory import MemoryLedger
from service.metrics import Metrics
from service.streams import records
from service.streams.pool import Pool
from service.streams.status import Status
from service.streams.supervisor import Supervisor
from service.streams.watcher import Parts
from tests.tiny import SPEC
from video.camera.live import Cell, Message, Opened, Picture, Progress

from .making import URL, Script, a_subscription, terms, until

LEASE_S = 0.6
A, B, C = (f"str_01JD3M8Q4Z6X7V9T2S5R1P0N8{last}" for last in "ABC")


class Line:
    """To a book; it can be cut."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.is_cut = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*arguments: Any, **named: Any) -> Any:
            if self.is_cut:
                raise Unavailable("the line is cut")
            return await getattr(self._book, name)(*arguments, **named)

        return call


def showing() -> list[Message]:
    """A camera that is opened and shows a picture."""
    picture = Picture(np.zeros((32, 32, 3), np.uint8), np.float32([0, 0, 1, 1]), 0.0, 0.0, 640, 360)
    return [Opened("h264"), Cell(0, picture, Progress(1, 0, None, "all"))]


@dataclass
class One:
    """A replica."""

    supervisor: Supervisor
    line: Line
    metrics: Metrics
    scripts: list[Script]

    @property
    def watching(self) -> int:
        return sum(script.is_open for script in self.scripts)

    async def subscribe(self, *streams: str, **options: Any) -> None:
        for stream in streams:
            await self.supervisor.subscribe(a_subscription(id=stream, url=URL, **options))


@asynccontextmanager
async def replica(
    book: Book, *models: str, capacity: int = 10, max_streams: int = 10, lease_s: float = LEASE_S
) -> AsyncIterator[One]:
    offers = {name: SimpleNamespace(name=name, clip_rule=SPEC) for name in models or ("tiny",)}
    line, metrics, scripts = Line(book), Metrics(), list[Script]()

    async def start() -> Any:
        scripts.append(Script([showing()]))
        return scripts[-1]

    pipeline: Any = SimpleNamespace(catalogue=list(offers.values()), offer=offers.__getitem__)
    line_: Any = line
    parts = Parts(pipeline, line_, Pool(0.001), metrics, terms("127.0.0.0/8"), start)  # a pool that affords no glance
    pipeline.plan = lambda options: SimpleNamespace(step_flops=(1,), most_flops=1)
    supervisor = Supervisor(parts, lease_s=lease_s, max_streams=max_streams, capacity=capacity)
    supervisor.start()
    try:
        yield One(supervisor, line, metrics, scripts)
    finally:
        line.is_cut = False
        await supervisor.close()
        assert not any(script.is_open for script in scripts), "a camera's process was left behind"


@pytest.fixture
def book() -> Book:
    return MemoryLedger().book("stream", events_kept=100)


async def states(book: Book, stream: str) -> list[tuple[str, int]]:
    told = [records.told_by(event) for event in await book.events(stream, BEFORE_ALL)]
    return [(one.state, one.epoch) for one in told if isinstance(one, Status)]


async def until_told(book: Book, stream: str, state: str, epoch: int) -> None:
    async with asyncio.timeout(30):
        while (state, epoch) not in await states(book, stream):  # noqa: ASYNC110 - the book has no event for that
            await asyncio.sleep(0.01)


async def test_a_new_stream_is_taken_at_once_and_one_that_is_deleted_is_let_go(book: Book) -> None:
    async with replica(book, lease_s=60) as one:
        await one.subscribe(A)
        await until(lambda: one.watching == 1)
        assert one.supervisor.held == {A}
        assert await one.supervisor.unsubscribe(A)
        assert not await one.supervisor.unsubscribe(A)
        assert one.watching == 0
        assert (await states(book, A))[-1] == ("deleted", 0)


async def test_no_more_streams_are_subscribed_than_there_may_be(book: Book) -> None:
    async with replica(book, max_streams=1) as one:
        await one.subscribe(A)
        with pytest.raises(Overloaded, match="1 streams are subscribed already"):
            await one.subscribe(B)


async def test_the_same_request_twice_makes_one_stream_and_another_one_is_refused(book: Book) -> None:
    async with replica(book) as one:
        first = await one.supervisor.subscribe(a_subscription(id=A, url=URL, created_s=1.0))
        again = await one.supervisor.subscribe(a_subscription(id=A, url=URL, created_s=2.0))
        assert again == first
        with pytest.raises(InvalidOption, match="is another subscription's"):
            await one.supervisor.subscribe(a_subscription(id=A, url=URL, top_k=1))
        await one.supervisor.unsubscribe(A)
        with pytest.raises(InvalidOption, match="was deleted a short time ago"):
            await one.supervisor.subscribe(a_subscription(id=A, url=URL))
        assert await book.records() == []


async def test_replicas_share_and_one_that_leaves_hands_all_of_its_streams_over(book: Book) -> None:
    """Leases of a minute show that nobody waits for them to be over."""
    async with replica(book, lease_s=60) as leaving, AsyncExitStack() as stack:
        await leaving.subscribe(A, B, C)
        await until(lambda: leaving.watching == 3)
        staying = await stack.enter_async_context(replica(book, lease_s=LEASE_S))
        leaving.supervisor.leave()
        await until(lambda: leaving.watching == 0)
        assert leaving.supervisor.held == frozenset()
        for stream in (A, B, C):
            await until_told(book, stream, "waiting", 1)  # it said good-bye
            await until_told(book, stream, "live", 2)
        assert staying.supervisor.held == {A, B, C}


async def test_a_replica_that_leaves_takes_nothing_any_more(book: Book) -> None:
    async with replica(book) as one:
        one.supervisor.leave()
        await one.subscribe(A)
        await asyncio.sleep(LEASE_S)
        assert one.supervisor.held == frozenset()


async def test_a_replica_without_its_ledger_lets_go_when_its_leases_are_over(book: Book) -> None:
    async with replica(book) as one, AsyncExitStack() as stack:
        await one.subscribe(A)
        await until(lambda: one.watching == 1)
        one.line.is_cut = True
        await until(lambda: one.watching == 0)
        assert one.metrics.registry.get_sample_value("fovea_state_up") == 0
        other = await stack.enter_async_context(replica(book))
        await until(lambda: other.watching == 1)
        one.line.is_cut = False
        await until(lambda: one.metrics.registry.get_sample_value("fovea_state_up") == 1)
        assert one.supervisor._held == {}, "it holds what is another's"
        assert (one.watching, other.watching) == (0, 1)


async def test_it_goes_on_where_nobody_has_taken_over_and_no_epoch_goes_back(book: Book) -> None:
    async with replica(book) as one:
        await one.subscribe(A)
        await until(lambda: one.watching == 1)
        one.line.is_cut = True
        await until(lambda: one.watching == 0)
        one.line.is_cut = False
        await until_told(book, A, "live", 2)
        epochs = [epoch for _, epoch in await states(book, A)]
        assert epochs == sorted(epochs)


async def test_an_epoch_goes_on_from_the_report_whatever_its_version(book: Book) -> None:
    await book.add(records.subscription_record(a_subscription(id=A, url=URL)), 10)
    await book.take(A, "before", 0.01)
    await book.keep(Record(A, ""), "before", 0.01, '{"version": 99, "epoch": 41}')
    async with replica(book) as one:
        await until(lambda: one.watching == 1)
        await until_told(book, A, "live", 42)
        assert min(epoch for _, epoch in await states(book, A)) == 41


async def test_what_is_deleted_here_is_deleted_again_where_its_holder_puts_it_back(book: Book) -> None:
    """Into a ledger that has forgotten everything in between."""
    async with replica(book) as one:
        await one.subscribe(A)
        await one.supervisor.unsubscribe(A)
        (record,) = [records.subscription_record(a_subscription(id=A, url=URL))]
        book._pages.clear()
        assert await book.add(record, 10) == "added"
        await until(lambda: not book._pages[A].record)
        assert one.supervisor.held == frozenset()


async def test_a_stream_that_is_deleted_while_its_lease_is_renewed_is_no_zombie(book: Book) -> None:
    async with replica(book) as one:
        await one.subscribe(A)
        await until(lambda: one.watching == 1)
        holding = one.supervisor._held[A]
        await asyncio.gather(holding.keep(), one.supervisor.unsubscribe(A), holding.keep())
        await asyncio.sleep(LEASE_S)
        assert one.watching == 0


async def test_what_another_version_subscribed_is_left_alone_and_told_once(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    await book.add(Record(A, '{"version": 99}'), 10)
    async with replica(book) as one:
        await one.subscribe(B)
        await until(lambda: one.watching == 1)
        await asyncio.sleep(LEASE_S)
        assert one.supervisor.held == {B}
    assert [record.getMessage().count(A) for record in caplog.records if "left alone" in record.getMessage()] == [1]
    assert await book.record(A) == Record(A, '{"version": 99}')


async def test_the_log_says_what_nobody_can_watch_and_says_it_once(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with replica(book, "tiny", capacity=1) as one:
        await one.subscribe(A, B)
        await one.subscribe(C, model="another")
        await asyncio.sleep(2 * LEASE_S)
    told = sorted(text for record in caplog.records if "watched by nobody" in (text := record.getMessage()))
    assert len(told) == 2
    assert "at its capacity" in told[0]
    assert f"stream {C} is watched by nobody: no replica has loaded its model 'another'" in told[1]


async def test_a_stream_that_nobody_reads_for_its_time_to_live_is_deleted(book: Book) -> None:
    async with replica(book) as one:
        await one.subscribe(A, ttl_s=1.0)
        await until(lambda: one.watching == 1)
        await until(lambda: one.watching == 0)
        assert (await states(book, A))[-1][0] == StreamState.DELETED


async def test_a_bug_in_one_tick_does_not_end_the_next(book: Book, caplog: pytest.LogCaptureFixture) -> None:
    async with replica(book) as one:
        healthy, one.line._book = one.line._book, SimpleNamespace()  # AttributeError wherever it is asked
        await asyncio.sleep(LEASE_S)
        one.line._book = healthy
        await one.subscribe(A)
        await until(lambda: one.watching == 1)
    assert "looking after streams failed" in caplog.text
