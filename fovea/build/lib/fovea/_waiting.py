"""How a job is waited for: when to ask again, what its end means, how its events are read. Knows no connection."""

import random
import time
from dataclasses import dataclass
from typing import Any

from httpx_sse import ServerSentEvent

from fovea._problems import error_of_problem
from fovea.answers import RecognitionAnswer
from fovea.errors import FoveaError, JobCancelled, ServerProblem, ServiceLost
from fovea.job_answers import JobAnswer
from fovea.words import JobState

FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 2.0
LAST = frozenset({"result", "problem", "cancelled"})


class Waiting:
    """`timeout_s`: in all; `reconnect_for_s`: since the service was last heard."""

    def __init__(self, timeout_s: float | None, reconnect_for_s: float) -> None:
        self._timeout_s = timeout_s
        self._reconnect_for_s = reconnect_for_s
        self._started_s = self._heard_s = time.monotonic()
        self._pause_s = FIRST_WAIT_S

    def heard(self) -> None:
        self._heard_s, self._pause_s = time.monotonic(), FIRST_WAIT_S

    def wait_s(self, error: FoveaError | None = None) -> float:
        """Seconds until the next question. Raises `error` where that came for too long, and TimeoutError."""
        now_s = time.monotonic()
        if error is None:
            self._heard_s = now_s
        elif now_s - self._heard_s > self._reconnect_for_s:
            raise error
        if self._timeout_s is not None and now_s - self._started_s >= self._timeout_s:
            raise TimeoutError(
                f"the job has not ended within {self._timeout_s:g} s; it goes on: wait again, or cancel it"
            )
        self._pause_s = min(self._pause_s * 1.5, LONGEST_WAIT_S)
        left_s = float("inf") if self._timeout_s is None else self._timeout_s - (now_s - self._started_s)
        return min(max(self._pause_s * random.uniform(0.7, 1), (error and error.retry_after_s) or 0), left_s)


def outcome(job: JobAnswer) -> RecognitionAnswer:
    """The result of a job that has ended. Raises what it failed with, JobCancelled."""
    if isinstance(job.result, RecognitionAnswer):
        return job.result
    if job.result is not None:
        raise ServerProblem(f"job {job.id} is a {job.kind}: its answer is in `answer.result`")
    if job.state is JobState.CANCELLED:
        raise JobCancelled(f"job {job.id} was cancelled; there is no answer")
    error = error_of_problem(None if job.problem is None else job.problem.model_dump())
    raise error or ServerProblem(f"job {job.id} is {job.state}, without a result or a problem")


@dataclass(frozen=True, slots=True)
class JobEvent:
    """What a job told: `data` is its JSON, a `StepEvent`'s or a `RecognitionAnswer`'s say, by `name`."""

    id: str
    name: str
    data: dict[str, Any]

    @property
    def is_last(self) -> bool:
        return self.name in LAST


class JobReader:
    """Where a follower stands."""

    def __init__(self, job: str, url: str, last_event_id: str | None) -> None:
        self._job = job
        self._url = url
        self._last_id = last_event_id

    @property
    def headers(self) -> dict[str, str]:
        return {} if self._last_id is None else {"Last-Event-ID": self._last_id}

    def read(self, event: ServerSentEvent) -> JobEvent:
        """Raises ServerProblem for what is no JSON."""
        try:
            data = event.json()
        except ValueError:
            raise ServerProblem(f"{self._url} sent an event that cannot be read: {event.data[:200]!r}") from None
        self._last_id = event.id or self._last_id
        return JobEvent(event.id, event.event, data)

    def ended(self) -> ServiceLost:
        """The connection closed in good order, and the last event had not come: the service shuts down."""
        return ServiceLost(f"{self._url} ended the events of {self._job}, but not the job; follow it again")
