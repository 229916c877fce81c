"""What a job is, and where it stands: values. Knows no queue and no HTTP."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from fovea.words import JobState
from service.webhooks.wanted import Webhook


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done; never changed. `kind` names one of the bodies that the runner knows."""

    id: str
    kind: str
    options: tuple[tuple[str, str], ...]  # as the client wrote them
    blob: str  # the key of the upload
    upload_s: float  # that the upload took
    created_s: float  # wall-clock
    webhook: Webhook | None = None
    owner: str = ""  # the name of the key that handed it in; empty: none
    no_store: bool = False  # its answer is to be computed, and not to be held
    traceparent: str = ""  # of the request that handed it in (W3C Trace Context); empty: none


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands. `result` and `problem` are the API's JSON, kept as it was written."""

    state: JobState = JobState.QUEUED
    attempts: int = 0  # begun so often, this one included
    progress: float = 0.0  # 0 to 1; how much of what it may cost at most is spent, and 1 at the end
    started_s: float | None = None  # wall-clock, of the latest attempt
    finished_s: float | None = None
    result: str | None = None
    result_blob: str | None = None  # the key of a result that is too large for the ledger
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a job has to tell while it is done. The last one is its result."""

    name: str  # "step", "segment", "result"
    data: str  # the API's JSON
    progress: float


@dataclass(frozen=True, slots=True)
class Task:
    """A job's turn: what is to be done, and its upload as a file."""

    job: Job
    path: Path

    @property
    def options(self) -> Mapping[str, str]:
        return dict(self.job.options)


Body: TypeAlias = Callable[[Task], AsyncGenerator[Told, None]]
"""What one kind of job does: everything it has to tell, the result last. Raises FoveaError; closing it cancels."""

UPLOADS, RESULTS = "uploads", "results"
"""Where files lie in the blob store."""

RESULT = "result"


def upload_blob(job_id: str) -> str:
    """The key of a job's upload."""
    return f"{UPLOADS}/{job_id}"


def result_blob(job_id: str, attempt: int) -> str:
    """The key of a large result of one attempt."""
    return f"{RESULTS}/{job_id}-{attempt}"


def job_of_blob(key: str) -> str:
    """The job whose upload or result that is."""
    return key.rpartition("/")[2].partition("-")[0]
