"""A job through the client that waits. Knows which calls there are; how waiting goes on is `_waiting`."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx
from httpx_sse import EventSource

from fovea._calls import EVENTS, Call, job_page, job_path
from fovea._problems import parsed
from fovea._waiting import JobEvent, JobReader, Waiting, outcome
from fovea.answers import RecognitionAnswer
from fovea.errors import ServiceLost, Unavailable
from fovea.job_answers import JobAnswer, JobList
from fovea.words import JobState


class Job:
    """Work that a service has accepted. `answer` is the job as it was last heard of."""

    def __init__(
        self, answer: JobAnswer, url: str, asked: Callable[[Call], AbstractContextManager[httpx.Response]]
    ) -> None:
        self.answer = answer
        self._url = url
        self._asked = asked

    @property
    def id(self) -> str:
        return self.answer.id

    @property
    def state(self) -> JobState:
        return self.answer.state

    def refresh(self) -> JobAnswer:
        """Ask where it stands. Raises UnknownJob where it was kept long enough."""
        self.answer = self._heard(Call("GET", job_path(self.id)))
        return self.answer

    def wait(self, timeout_s: float | None = None, *, reconnect_for_s: float = 60.0) -> RecognitionAnswer:
        """Its result, once it has ended. Raises what it failed with, JobCancelled, and TimeoutError.

        A service that goes away meanwhile is waited for, for `reconnect_for_s`.
        """
        waiting = Waiting(timeout_s, reconnect_for_s)
        while True:
            try:
                if self.refresh().state.is_final:
                    break
                pause_s = waiting.wait_s()
            except (ServiceLost, Unavailable) as error:
                pause_s = waiting.wait_s(error)
            time.sleep(pause_s)
        return outcome(self.answer)

    def cancel(self) -> JobAnswer:
        """End it at its next step. Raises JobFinished where it has ended already."""
        self.answer = self._heard(Call("DELETE", job_path(self.id)))
        return self.answer

    def events(self, *, last_event_id: str | None = None, reconnect_for_s: float = 60.0) -> Iterator[JobEvent]:
        """Everything that it tells, from its beginning or from an event on, to its end; each once."""
        reader = JobReader(self.id, self._url, last_event_id)
        waiting = Waiting(None, reconnect_for_s)
        while True:
            try:
                with self._asked(Call("GET", f"{job_path(self.id)}/events", EVENTS, headers=reader.headers)) as answer:
                    for heard in EventSource(answer).iter_sse():
                        waiting.heard()
                        event = reader.read(heard)
                        yield event
                        if event.is_last:
                            return
                raise reader.ended()
            except (ServiceLost, Unavailable) as error:
                time.sleep(waiting.wait_s(error))

    def _heard(self, call: Call) -> JobAnswer:
        with self._asked(call) as response:
            return parsed(JobAnswer, response.read(), self._url)


class Jobs:
    """Every job of a service, the latest first, page by page: iterate over it."""

    def __init__(
        self, url: str, asked: Callable[[Call], AbstractContextManager[httpx.Response]], state: JobState | str | None
    ) -> None:
        self._url = url
        self._asked = asked
        self._state = None if state is None else str(state)

    def __iter__(self) -> Iterator[Job]:
        before: str | None = None
        while True:
            with self._asked(job_page(self._state, before)) as response:
                page = parsed(JobList, response.read(), self._url)
            for answer in page.jobs:
                yield Job(answer, self._url, self._asked)
            before = page.next_before
            if before is None:
                return
