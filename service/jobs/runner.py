"""Does jobs: takes one, does what its kind does, tells how it goes, and how it ended. Knows no HTTP and no queue.

A job may be begun more than once: its process was killed, or lost the ledger. Everything that is told is told under the
lease's token, so that of all attempts one has the last word.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from fovea.errors import (
    Draining,
    FoveaError,
    InvalidUpload,
    JobAbandoned,
    NotReady,
    Overloaded,
    QuotaExceeded,
    Unavailable,
)
from fovea.words import JobState, WebhookEvent
from service.blobs.store import Blobs
from service.jobs import records
from service.jobs.hold import Hold, Lost
from service.jobs.job import RESULT, Body, Job, Standing, Task, Told, result_blob
from service.jobs.queue import TryLater
from service.ledger.base import Book, Note
from service.metrics import Metrics
from service.tracing.tracing import Tracing

log = logging.getLogger(__name__)

LARGE_BYTES = 32 * 2**10  # of a result; a larger one goes into the blob store
LOOK_S = 1.0  # between looks at whether a job is to be cancelled, where another replica was asked
LAST_WORD_S = 60.0  # that a result is kept for a ledger that is away
HELD_S = 1.0  # before an item whose job another holds comes again
LATER_S = 60.0  # at most, before one whose key has used up its limit comes again
AWAY_S = 3.0  # before one whose upload could not be fetched does

LAST = {JobState.SUCCEEDED: RESULT, JobState.FAILED: "problem", JobState.CANCELLED: "cancelled"}
"""What the last event of a job is called."""


@dataclass(frozen=True, slots=True)
class RunnerParts:
    """What a runner works with. `problem` writes an error as the API's JSON, by the id of what met it.

    `tell` tells the job's receiver, if it has one and wants to know; twice is once.
    """

    book: Book
    cancels: Book
    blobs: Blobs
    bodies: Mapping[str, Body]
    problem: Callable[[FoveaError, str], str]
    spooled: Callable[[], AbstractContextManager[Path]]
    tell: Callable[[Job, Standing, WebhookEvent], Awaitable[None]]
    metrics: Metrics
    tracing: Tracing


class Runner:
    """`lease_s`: after such a silence another takes a job over; `max_attempts`: then it is given up."""

    def __init__(self, parts: RunnerParts, *, lease_s: float, max_attempts: int) -> None:
        self._parts = parts
        self._lease_s = lease_s
        self._max_attempts = max_attempts
        self._running: dict[str, asyncio.Event] = {}  # by job; set where there is something to look at
        self._handing_back = False

    async def work(self, job_id: str) -> None:
        """What the queue asks for. Raises TryLater."""
        if self._handing_back:
            raise TryLater("this process is ending", delay_s=0)
        try:
            hold = await self._taken(job_id)
            if hold is not None:
                await self._with(hold)
        except Lost:
            log.info("job %s is held elsewhere now, or removed", job_id)
        except records.OtherVersion as error:  # a replica of that version can do it
            raise TryLater(str(error), delay_s=AWAY_S) from None
        except Unavailable as error:
            raise TryLater(error.detail, delay_s=AWAY_S) from None

    def look(self, job_id: str) -> None:
        """It was cancelled here: no need to wait for the next look."""
        if job_id in self._running:
            self._running[job_id].set()

    def hand_back(self) -> None:
        """What is not done by now is another's, or the next start's."""
        self._handing_back = True
        for bell in self._running.values():
            bell.set()

    async def _taken(self, job_id: str) -> Hold | None:
        """None where there is nothing to do. Raises TryLater where another holds it."""
        record = await self._parts.book.record(job_id)
        if record is None:
            return None
        standing = records.standing_of(await self._parts.book.report(job_id))
        if standing.state.is_final:  # and perhaps its process died before it told the receiver
            await self._announce_end(records.job_of(record), standing)
            return None
        hold = await Hold.take(self._parts.book, record, self._lease_s)
        if hold is None and await self._parts.book.record(job_id) is not None:
            raise TryLater("another holds it", delay_s=HELD_S)
        return hold

    async def _with(self, hold: Hold) -> None:
        try:
            standing = records.standing_of(await self._parts.book.report(hold.record.id))
            job = records.job_of(hold.record)
        except records.OtherVersion:
            await hold.give_up()
            raise
        if standing.state.is_final:  # while it was being taken
            await hold.give_up()
            return
        if await self._parts.cancels.record(job.id) is not None:
            await self.end(hold, job, replace(standing, state=JobState.CANCELLED))
        elif standing.attempts >= self._max_attempts:
            abandoned = JobAbandoned(
                f"the job was begun {standing.attempts} times and its process ended each time; nothing was answered",
                attempts=standing.attempts,
            )
            await self.end(hold, job, self._failed(job, standing, abandoned))
        else:
            begun = replace(
                standing, state=JobState.RUNNING, attempts=standing.attempts + 1, started_s=time.time(), progress=0.0
            )
            tracing = self._parts.tracing
            with tracing.span("job", parent=job.traceparent, kind="consumer", job=job.id, attempt=begun.attempts):
                await self._begin(hold, job, begun)

    async def _begin(self, hold: Hold, job: Job, standing: Standing) -> None:
        await hold.tell(records.state_note(standing), records.standing_text(standing), patience_s=self._lease_s)
        await self._parts.tell(job, standing, WebhookEvent.STATE)
        attempt = _Attempt(self._parts, hold, job, standing)
        bell = self._running[job.id] = asyncio.Event()
        doing = asyncio.create_task(attempt.do())
        try:
            ended = await self._watched(attempt, doing, bell)
        finally:
            del self._running[job.id]
            doing.cancel()
            await asyncio.wait([doing])
        try:
            await self.end(hold, job, ended)
        except _NotNow as error:
            raise await self._handed_back(attempt, str(error), AWAY_S) from None

    async def _watched(self, attempt: "_Attempt", doing: "asyncio.Task[Standing]", bell: asyncio.Event) -> Standing:
        """How the job ended. Raises Lost, TryLater."""
        while not doing.done():
            ringing = asyncio.create_task(bell.wait())
            await asyncio.wait({doing, ringing}, timeout=min(LOOK_S, self._lease_s / 4), return_when="FIRST_COMPLETED")
            ringing.cancel()
            bell.clear()
            if doing.done():
                break
            if self._handing_back:
                raise await self._handed_back(attempt, "this process is ending", 0.0)
            await attempt.hold.keep(records.standing_text(attempt.standing))
            with contextlib.suppress(Unavailable):
                if await self._parts.cancels.record(attempt.job.id) is not None:
                    return replace(attempt.standing, state=JobState.CANCELLED)
        try:
            return doing.result()
        except (Draining, NotReady) as error:
            raise await self._handed_back(attempt, error.detail, HELD_S) from None
        except (Overloaded, QuotaExceeded) as error:  # a key's limit is used up: it has some left later
            raise await self._handed_back(attempt, error.detail, min(error.retry_after_s or HELD_S, LATER_S)) from None
        except _NotNow as error:
            raise await self._handed_back(attempt, str(error), AWAY_S) from None
        except FoveaError as error:
            return self._failed(attempt.job, attempt.standing, error)
        except Exception:  # the task's edge: a bug costs one job, and the log has its trace
            log.exception("job %s met an error nobody expected", attempt.job.id)
            return self._failed(attempt.job, attempt.standing, FoveaError("unexpected"))

    def _failed(self, job: Job, standing: Standing, error: FoveaError) -> Standing:
        return replace(standing, state=JobState.FAILED, problem=self._parts.problem(error, job.id))

    async def _handed_back(self, attempt: "_Attempt", why: str, delay_s: float) -> TryLater:
        """The attempt does not count: nothing is wrong with the job."""
        standing = replace(
            attempt.standing, state=JobState.QUEUED, attempts=attempt.standing.attempts - 1, progress=0.0
        )
        await attempt.hold.tell(records.state_note(standing), records.standing_text(standing), patience_s=AWAY_S)
        await attempt.hold.give_up()
        return TryLater(why, delay_s=delay_s)

    async def end(self, hold: Hold, job: Job, standing: Standing) -> None:
        """The last word, told at one stroke. Raises Lost where another has had it, Unavailable, and _NotNow where a
        large result has no place at the moment."""
        ended = replace(standing, finished_s=time.time(), progress=1.0 if standing.result else standing.progress)
        said = ended.result or ended.problem or ""
        if len(said) > LARGE_BYTES:
            said, key = "", result_blob(job.id, ended.attempts)
            try:
                await self._parts.blobs.put(key, (ended.result or "").encode())
            except Unavailable as error:
                raise _NotNow(error.detail) from None
            ended = replace(ended, result=None, result_blob=key)
        await hold.tell(Note(LAST[ended.state], said), records.standing_text(ended), patience_s=LAST_WORD_S)
        self._parts.metrics.job_ended(job.kind, ended.state, time.time() - job.created_s)
        log.info("job %s: %s after %d attempts", job.id, ended.state, ended.attempts)
        await self._announce_end(job, ended)
        with contextlib.suppress(Unavailable):  # what stays is taken when the job is forgotten
            await hold.give_up()
            await self._parts.blobs.delete(job.blob)

    async def _announce_end(self, job: Job, ended: Standing) -> None:
        if ended.state is JobState.SUCCEEDED:
            await self._parts.tell(job, ended, WebhookEvent.RESULT)
        await self._parts.tell(job, ended, WebhookEvent.DONE)


class _NotNow(Exception):
    """Nothing is wrong with the job: its upload cannot be had, or its result not be kept, at the moment."""


class _Attempt:
    """One job's body under one lease."""

    def __init__(self, parts: RunnerParts, hold: Hold, job: Job, standing: Standing) -> None:
        self.hold = hold
        self.job = job
        self.standing = standing  # with the progress so far
        self._parts = parts

    async def do(self) -> Standing:
        """Where the job stands at its end. Raises FoveaError, _NotNow."""
        body = self._parts.bodies.get(self.job.kind)
        if body is None:
            raise NotReady(f"this replica does not know how to do a {self.job.kind}")
        with self._parts.spooled() as path:
            await self._fetch(path)
            async with aclosing(body(Task(self.job, path))) as told:
                async for one in told:
                    if one.name == RESULT:
                        return replace(self.standing, state=JobState.SUCCEEDED, result=one.data)
                    self.standing = replace(self.standing, progress=min(one.progress, 1.0))
                    await self._tell(one)
        raise AssertionError("the job's body ended without a result")

    async def _fetch(self, path: Path) -> None:
        try:
            await self._parts.blobs.fetch(self.job.blob, path)
        except Unavailable as error:
            raise _NotNow(error.detail) from None
        except FileNotFoundError:
            raise InvalidUpload("the upload of this job is not in the blob store any more; send it again") from None

    async def _tell(self, told: Told) -> None:
        """What happens on the way is dropped while the ledger is away; the result is not."""
        with contextlib.suppress(Unavailable):
            await self.hold.tell(Note(told.name, told.data))
