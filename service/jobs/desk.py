"""Where jobs are handed in, asked for, and called off. Knows no HTTP; the work is the runner's.

Every so often it looks after what is kept: jobs whose item the queue has lost are put in again, old ones forgotten.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from fovea.errors import JobFinished, Overloaded, Unavailable, UnknownJob
from fovea.words import JobState
from service.blobs.store import Blobs
from service.jobs import records
from service.jobs.hold import Hold, Lost
from service.jobs.job import RESULTS, UPLOADS, Job, Standing, job_of_blob
from service.jobs.queue import Queue
from service.jobs.runner import Runner
from service.jobs.shares import KeptShares
from service.ledger.base import Book, Record
from service.metrics import Metrics
from service.sweeping import Sweeping

log = logging.getLogger(__name__)

SWEEP_S = 20.0
ORPHANED_S = 3600.0  # that a file without a job stays: its job may be on its way into the ledger


@dataclass(frozen=True, slots=True)
class Known:
    """A job, and where it stands."""

    job: Job
    standing: Standing


@dataclass(frozen=True, slots=True)
class DeskParts:
    """`cancels`: the jobs that are to be cancelled, by id."""

    book: Book
    cancels: Book
    blobs: Blobs
    queue: Queue
    runner: Runner
    metrics: Metrics


class Desk:
    """`max_jobs` are kept at most, of each owner its share by `weight_of`, the ended ones for `retention_s`."""

    def __init__(
        self,
        parts: DeskParts,
        *,
        lease_s: float,
        max_jobs: int,
        retention_s: float,
        drain_s: float,
        weight_of: Callable[[str], float],
    ) -> None:
        self._parts = parts
        self._shares = KeptShares(max_jobs, weight_of)
        self._orphans_s = 0.0  # monotonic: when files without a job are looked for next
        self._lease_s = lease_s
        self._max_jobs = max_jobs
        self._retention_s = retention_s
        self._drain_s = drain_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sweeping = Sweeping("jobs", self._sweep)
        self._announced_until_s = 0.0  # wall-clock: receivers of jobs that ended before were told

    @property
    def book(self) -> Book:
        return self._parts.book

    @property
    def blobs(self) -> Blobs:
        return self._parts.blobs

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parts.queue.start(self._parts.runner.work)
        self._tasks = [asyncio.create_task(self._sweeping.run(SWEEP_S))]

    def leave(self) -> None:
        """Jobs get the time of a drain; then they are handed back. From a signal handler, or any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_s, self._parts.runner.hand_back)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._parts.runner.hand_back()
        await self._parts.queue.close()

    # -- what clients ask for

    def check_share(self, owner: str) -> None:
        """Raises Overloaded where the owner has its share of the jobs that are kept: asked before an upload is read."""
        share = self._shares.beyond(owner)
        if share is not None:
            raise self._no_room(_has_its_share(owner, share))

    async def submit(self, job: Job) -> Known:
        """Accepted: from now on it is done, whatever becomes of this process. Its upload is in the blob store.

        The job that is there already where the same id was handed in before. Raises Overloaded, Unavailable where the
        ledger is away.
        """
        share = self._shares.beyond(job.owner)
        if share is not None and await self.book.record(job.id) is None:
            raise await self._refused(job, _has_its_share(job.owner, share))
        adding = await self.book.add(records.job_record(job), self._max_jobs)
        if adding == "added":
            self._shares.added(job.owner)
        if adding == "full":
            raise await self._refused(job, f"{self._max_jobs} jobs are kept already, the most there may be")
        if adding == "removed":
            raise unknown(job.id)
        try:
            await self._parts.queue.put(job.id)
        except Unavailable:  # it is in the ledger: as soon as the queue is back it is put in
            self._sweeping.nudge()
        log.info("job %s: a %s is queued", job.id, job.kind)
        return await self.job(job.id)

    async def _refused(self, job: Job, why: str) -> Overloaded:
        with contextlib.suppress(Unavailable):
            await self.blobs.delete(job.blob)
        return self._no_room(why)

    def _no_room(self, why: str) -> Overloaded:
        return Overloaded(f"{why}; try again later, or raise FOVEA_MAX_JOBS", retry_after_s=30, max_jobs=self._max_jobs)

    async def job(self, job_id: str) -> Known:
        """Raises UnknownJob, Unavailable."""
        record = await self.book.record(job_id)
        if record is None:
            raise unknown(job_id)
        return self._known(record, await self.book.report(job_id))

    async def jobs(self, state: JobState | None = None) -> list[Known]:
        """Those that this version can read, the latest first."""
        kept = await self.book.records()
        reports = await self.book.reports([record.id for record in kept])
        found = []
        for record in reversed(kept):
            with contextlib.suppress(Unavailable):
                known = self._known(record, reports.get(record.id))
                if state is None or known.standing.state is state:
                    found.append(known)
        return found

    async def result(self, standing: Standing) -> str | None:
        """The API's JSON; None where there is none. Raises Unavailable."""
        if standing.result_blob is None:
            return standing.result
        try:
            return (await self.blobs.read(standing.result_blob)).decode()
        except FileNotFoundError:
            raise Unavailable("the result is not in the blob store, though it was put there") from None

    async def cancel(self, job_id: str) -> Known:
        """Ended now where nobody works on it, else at its next step. Raises UnknownJob, JobFinished, Unavailable."""
        known = await self.job(job_id)
        if known.standing.state is JobState.CANCELLED:
            return known
        if known.standing.state.is_final:
            raise JobFinished(
                f"job {job_id} has {known.standing.state} already; GET it for its answer", state=known.standing.state
            )
        await self._parts.cancels.add(Record(job_id, ""), self._max_jobs)
        hold = await Hold.take(self.book, records.job_record(known.job), self._lease_s)
        if hold is None:
            self._parts.runner.look(job_id)
            return known
        with contextlib.suppress(Lost):
            standing = records.standing_of(await self.book.report(job_id))
            if standing.state.is_final:  # a moment ago
                await hold.give_up()
            else:
                await self._parts.runner.end(hold, known.job, replace(standing, state=JobState.CANCELLED))
        return await self.job(job_id)

    def _known(self, record: Record, report: str | None) -> Known:
        try:
            return Known(records.job_of(record), records.standing_of(report))
        except records.OtherVersion:
            raise Unavailable(
                f"job {record.id} is another version's, and this one cannot read it; ask a replica of that version",
                retry_after_s=10,
            ) from None

    # -- what is looked after

    async def _sweep(self) -> None:
        known, now_s = await self.jobs(), time.time()
        self._shares.count(one.job.owner for one in known)
        counts = dict.fromkeys(JobState, 0)
        oldest_s = now_s
        for one in reversed(known):
            state, finished_s = one.standing.state, one.standing.finished_s
            if finished_s is not None and now_s - finished_s > self._retention_s:
                await self._forget(one)
                continue
            counts[state] += 1
            if state is JobState.QUEUED:
                oldest_s = min(oldest_s, one.job.created_s)
            to_announce = one.job.webhook is not None and (finished_s or 0.0) > self._announced_until_s
            if not state.is_final or to_announce:  # where the queue has it, nothing happens
                await self._parts.queue.put(one.job.id)
        self._announced_until_s = now_s - 3 * SWEEP_S
        for state, number in counts.items():
            self._parts.metrics.jobs.labels(state=state).set(number)
        self._parts.metrics.job_queue_age_seconds.set(now_s - oldest_s)
        if time.monotonic() >= self._orphans_s:
            await self._drop_orphans()
            self._orphans_s = time.monotonic() + ORPHANED_S

    async def _drop_orphans(self) -> None:
        """Files whose job never came into the ledger, which was away, or is not in it any more."""
        old = [key for folder in (UPLOADS, RESULTS) for key in await self.blobs.older(folder, ORPHANED_S)]
        kept = {record.id for record in await self.book.records()}  # after the files: a job is there before it is old
        for key in old:
            if job_of_blob(key) not in kept:
                await self.blobs.delete(key)
                log.info("removed %s, whose job is not in the ledger", key)

    async def _forget(self, known: Known) -> None:
        """The job last: whoever is interrupted here comes again."""
        await self.blobs.delete(known.job.blob)
        if known.standing.result_blob is not None:
            await self.blobs.delete(known.standing.result_blob)
        await self._parts.cancels.remove(known.job.id)
        await self.book.remove(known.job.id)


def unknown(job_id: str) -> UnknownJob:
    return UnknownJob(f"there is no job {job_id[:64]!r}, or it was kept long enough; GET /v1/jobs lists them")


def _has_its_share(owner: str, share: int) -> str:
    return f"{owner} has its share of the jobs that are kept: {share}"
