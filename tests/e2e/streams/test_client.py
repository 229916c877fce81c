"""The Python client follows cameras: typed events, each once, through cuts, restarts and its own end."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, aclosing
from itertools import islice
from typing import Any

import httpx
import pytest

from fovea import AsyncClient, Client, StreamEvent
from fovea._calls import new_stream_id
from fovea.errors import InvalidOption, UnknownStream
from fovea.stream_answers import GapEvent, ResultEvent, StateEvent, Stream
from tests.cable import cable_to
from tests.cameras import Camera, camera
from tests.e2e.streams.conftest import LOOPBACK, footage
from tests.redis_server import redis_server
from tests.serving import Served, serving
from tests.streaming import PATIENCE_S, events_of

QUICK: dict[str, Any] = {"window_s": 1.0, "stride_s": 0.25}


@pytest.fixture(scope="module")
def playing() -> Iterator[Camera]:
    with camera(footage()) as playing:
        yield playing


def results(events: list[StreamEvent]) -> int:
    return sum(isinstance(event.data, ResultEvent) for event in events)


def everything(served: Served, stream: str, until: Sequence[str]) -> list[str]:
    """The ids of all events that the service kept, until all of `until` were among them."""
    told: list[str] = []
    with httpx.stream(
        "GET", f"{served.url}/v1/streams/{stream}/events", headers={"Last-Event-ID": "0-0"}, timeout=PATIENCE_S
    ) as response:
        for event in events_of(response.iter_lines()):
            told.append(event.id or "")
            if set(until) <= set(told):
                break
    return told


def test_subscribing_listing_and_deleting(watching: Served, playing: Camera) -> None:
    with Client(watching.url) as fovea:
        stream = fovea.streams.create(playing.url(credentials="user:secret"), top_k=2, **QUICK)
        assert isinstance(stream, Stream)
        assert (stream.top_k, stream.url) == (2, playing.url(credentials="***"))
        assert stream.id in [one.id for one in fovea.streams.list()]
        assert fovea.streams.get(stream.id).id == stream.id
        fovea.streams.delete(stream.id)
        with pytest.raises(UnknownStream):
            fovea.streams.get(stream.id)
        with pytest.raises(InvalidOption, match="window_s"):
            fovea.streams.create(playing.url(), window_s=-1)


def test_following_gives_the_present_state_then_results_and_ends_with_the_stream(
    watching: Served, playing: Camera
) -> None:
    with Client(watching.url) as fovea:
        stream = fovea.streams.create(playing.url(), **QUICK)
        events = []
        for event in fovea.streams.follow(stream.id):
            events.append(event)
            if isinstance(event.data, ResultEvent) and results(events) == 2:
                fovea.streams.delete(stream.id)
    assert events[0].id is None
    assert isinstance(events[0].data, StateEvent)
    assert events[-1].is_last
    some = next(event.data for event in events if isinstance(event.data, ResultEvent))
    assert some.recognition.predictions[0].label in {"red", "green", "blue"}
    assert some.frame_age_s >= 0


async def test_the_same_with_asyncio(watching: Served, playing: Camera) -> None:
    async with AsyncClient(watching.url) as fovea:
        stream = await fovea.streams.create(playing.url(), **QUICK)
        events = []
        async for event in fovea.streams.follow(stream.id):
            events.append(event)
            if isinstance(event.data, ResultEvent) and results(events) == 2:
                await fovea.streams.delete(stream.id)
        assert events[-1].is_last
        assert stream.id not in [one.id for one in await fovea.streams.list()]


async def test_a_snapshot_is_a_jpeg(watching: Served, playing: Camera) -> None:
    async with AsyncClient(watching.url) as fovea:
        stream = await fovea.streams.create(playing.url(), **QUICK)
        async with aclosing(fovea.streams.follow(stream.id)) as events:
            async for event in events:
                if isinstance(event.data, ResultEvent):
                    break
        assert (await fovea.streams.snapshot(stream.id)).startswith(b"\xff\xd8")
        with Client(watching.url) as waiting:
            assert (await asyncio.to_thread(waiting.streams.snapshot, stream.id)).startswith(b"\xff\xd8")
        await fovea.streams.delete(stream.id)


def test_what_the_service_has_forgotten_is_told_as_a_gap(playing: Camera) -> None:
    with serving(stream_allowed_networks=LOOPBACK, stream_events_kept=4) as service, Client(service.url) as fovea:
        stream = fovea.streams.create(playing.url(), **QUICK)
        ids = []
        for event in fovea.streams.follow(stream.id, last_event_id="0-0"):
            ids += [event.id] if event.id is not None else []
            if len(ids) == 8:
                break
        gap, first = islice(fovea.streams.follow(stream.id, last_event_id=ids[0]), 2)
        assert isinstance(gap.data, GapEvent)
        assert (gap.name, gap.id, gap.data.after, gap.data.before) == ("gap", None, ids[0], first.id)


def test_creating_again_with_the_same_id_makes_no_second_stream(watching: Served) -> None:
    with Client(watching.url) as fovea:
        first = fovea.streams.create("rtsp://127.0.0.1:1/x", id=new_stream_id())
        assert fovea.streams.create("rtsp://127.0.0.1:1/x", id=first.id).created_at == first.created_at
        with pytest.raises(InvalidOption, match="is another subscription's"):
            fovea.streams.create("rtsp://127.0.0.1:2/x", id=first.id)
        fovea.streams.delete(first.id)
        with pytest.raises(InvalidOption, match="was deleted"):
            fovea.streams.create("rtsp://127.0.0.1:1/x", id=first.id)


async def test_no_event_is_lost_or_doubled_when_the_connection_is_cut(watching: Served, playing: Camera) -> None:
    async with cable_to(watching.port) as (url, cable), AsyncClient(url) as fovea:
        stream = await fovea.streams.create(playing.url(), **QUICK)
        events: list[StreamEvent] = []
        cuts = iter((2, 4, 6))
        cut_at = next(cuts)
        async for event in fovea.streams.follow(stream.id):
            events.append(event)
            if results(events) == cut_at:
                cut_at = next(cuts, 0)
                if cut_at:
                    cable.cut()
                else:
                    await fovea.streams.delete(stream.id)
        ids = [event.id for event in events if event.id is not None]
        assert len(set(ids)) == len(ids), "none twice"
        assert [int(event_id.split("-")[0]) for event_id in ids] == sorted(int(one.split("-")[0]) for one in ids)
        assert results(events) >= 6


def _call_async(url: str, stream: str, keep: Callable[[StreamEvent], bool]) -> None:
    asyncio.run(_follow_async(url, stream, keep))


async def _follow_async(url: str, stream: str, keep: Callable[[StreamEvent], bool]) -> None:
    async with AsyncClient(url) as fovea, aclosing(fovea.streams.follow(stream)) as events:
        async for event in events:
            if not keep(event):
                return


def _follow_sync(url: str, stream: str, keep: Callable[[StreamEvent], bool]) -> None:
    with Client(url) as fovea:
        for event in fovea.streams.follow(stream):
            if not keep(event):
                return


class Collector:
    """Follows in a thread, until told that it is enough; then until its next result."""

    def __init__(
        self, follow: Callable[[str, str, Callable[[StreamEvent], bool]], object], url: str, stream: str
    ) -> None:
        self.events: list[StreamEvent] = []
        self._enough = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=follow, args=(url, stream, self._keep), daemon=True)
        self._thread.start()

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events if event.id is not None]

    def wait_for_results(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: results(self.events) >= count, PATIENCE_S), self.events[-3:]

    def finish(self) -> None:
        self._enough.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def _keep(self, event: StreamEvent) -> bool:
        with self._news:
            self.events.append(event)
            self._news.notify_all()
        return not self._enough.is_set()


def test_no_event_is_lost_or_doubled_across_restarts_of_the_service(playing: Camera) -> None:
    """With Redis, where streams and events outlive a process."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with redis_server() as redis:

        def service() -> AbstractContextManager[Served]:
            return serving(port=port, redis_url=redis.url, stream_allowed_networks=LOOPBACK, stream_backoff_cap_s=1.0)

        with service() as served:
            with Client(served.url) as fovea:
                stream = fovea.streams.create(playing.url(), **QUICK).id
            collectors = [Collector(follow, served.url, stream) for follow in (_follow_sync, _call_async)]
            for collector in collectors:
                collector.wait_for_results(2)
        for num_restarts in (1, 2):
            with service() as served:
                for collector in collectors:
                    collector.wait_for_results(2 + 3 * num_restarts)
                if num_restarts == 2:
                    for collector in collectors:
                        collector.finish()
                    told = everything(served, stream, [collector.ids[-1] for collector in collectors])
        for collector in collectors:
            ids = collector.ids
            assert ids == told[told.index(ids[0]) : told.index(ids[-1]) + 1]
