"""What one stream tells, and where it stands: states, results and reports, kept in the ledger under the lease's token.

Knows no camera and no engine.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

from fovea.errors import Unavailable
from fovea.words import Mode, StreamState
from service.ledger.base import Book, Fenced
from service.metrics import Metrics
from service.streams import records
from service.streams.status import Counts, Report, Result, Source, Status, Trouble

Announce: TypeAlias = Callable[[str, Status | Result], Awaitable[None]]
"""Tells those beside followers of an event, by its id: its receiver, a broker. Raises Unavailable."""


class Journal:
    """Of one stream, while this replica holds it. `last_id`: no event's id will be below it.

    `name`: by which the camera has metrics of its own; None: it has none. `announce`: None: there are
    followers alone.
    """

    def __init__(
        self,
        stream: str,
        token: str,
        book: Book,
        metrics: Metrics,
        status: Status,
        *,
        last_id: str | None = None,
        name: str | None = None,
        announce: Announce | None = None,
    ) -> None:
        self.stream = stream
        self.token = token
        self.status = status
        self.counts = Counts()
        self.last_id = last_id
        self._book = book
        self._metrics = metrics
        self._name = name
        self._announce = announce

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """While the stream is watched, it counts among those of its state."""
        self._metrics.stream_state.labels(state=self.status.state).inc()
        self._show_whether_up()
        try:
            yield
        finally:
            self._metrics.stream_state.labels(state=self.status.state).dec()
            if self._name is not None:
                self._metrics.camera_up.remove(self._name, self.stream)

    def report(self) -> str:
        """Where the stream stands, for the ledger."""
        return records.report_text(Report(self.status, self.counts))

    def show(self, *, mode: Mode | None = None, source: Source | None = None) -> None:
        """Note what is decoded, what the camera sends; told with the next state or report."""
        self.status = replace(self.status, mode=mode or self.status.mode, source=source or self.status.source)

    async def begin_epoch(self, source: Source) -> None:
        """Pictures arrive, unconnected with those before."""
        self.status = replace(self.status, epoch=self.status.epoch + 1, source=source)
        await self.become(StreamState.LIVE)

    async def become(self, state: StreamState, trouble: Trouble | None = None) -> None:
        gauge = self._metrics.stream_state
        gauge.labels(state=self.status.state).dec()
        gauge.labels(state=state).inc()
        since_s = self.status.since_s if state is self.status.state else time.time()
        self.status = replace(self.status, state=state, since_s=since_s, trouble=trouble)
        self._show_whether_up()
        await self.tell_state()

    def _show_whether_up(self) -> None:
        if self._name is not None:
            is_up = self.status.state is StreamState.LIVE
            self._metrics.camera_up.labels(camera=self._name, stream=self.stream).set(is_up)

    async def tell_state(self) -> None:
        """A camera goes on though the ledger is away: what it would tell is dropped meanwhile. Raises Fenced."""
        with contextlib.suppress(Unavailable):
            await self._append(self.status, report=self.report())

    async def tell(self, result: Result) -> None:
        """Raises Fenced, Unavailable."""
        await self._append(result)

    async def hand_over(self) -> None:
        """The last word of this replica, once it watches no more: somebody else has to."""
        with contextlib.suppress(Fenced):
            self.status = replace(self.status, state=StreamState.WAITING, since_s=time.time(), trouble=None)
            await self.tell_state()

    async def _append(self, told: Status | Result, *, report: str | None = None) -> None:
        note = records.note_of(told)
        self.last_id = await self._book.append(self.stream, self.token, note, after=self.last_id, report=report)
        if self._announce is not None:
            with contextlib.suppress(Unavailable):  # followers have it; the receiver misses one
                await self._announce(self.last_id, told)
