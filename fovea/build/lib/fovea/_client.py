"""The client that waits. Knows which calls there are; how each is written and read is `_calls` and `_problems`."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self, Unpack

import httpx
from httpx_sse import EventSource

from fovea._calls import (
    EVENTS,
    JSON,
    Call,
    JobOptions,
    RecognitionOptions,
    TimelineOptions,
    VideoInput,
    authorization,
    job,
    job_path,
    recognition,
    timeline,
)
from fovea._jobs import Job, Jobs
from fovea._problems import connection_errors, error_of, parsed
from fovea._retry import Retry
from fovea._steps import StepReader
from fovea._streams import Streams
from fovea._timelines import TimelineItem, TimelineReader
from fovea.answers import RecognitionAnswer, StepEvent
from fovea.job_answers import JobAnswer
from fovea.timeline_answers import TimelineAnswer
from fovea.words import JobState


class Client:
    """One service. Safe to share between threads; `close()` it, or use it in a `with`.

    `timeout_s`: how long the service may be silent (a recognition under load waits in line).
    `retry_for_s`: how long to wait in all where the service says when to try again; 0 never asks twice.
    `api_key`: where the service has keys; absent: the variable FOVEA_API_KEY, if it is set.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 120.0,
        retry_for_s: float = 30.0,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.url = url
        self._retry_for_s = retry_for_s
        given = {**authorization(api_key), **(headers or {})}
        self._http = httpx.Client(base_url=url, timeout=httpx.Timeout(timeout_s, connect=10), headers=given)
        self.streams = Streams(url, self._asked)

    def recognize(self, video: VideoInput, **options: Unpack[RecognitionOptions]) -> RecognitionAnswer:
        """What happens in the video. Raises the errors of `fovea.errors`."""
        with self._asked(recognition(video, options, accept=JSON)) as response:
            return parsed(RecognitionAnswer, response.read(), self.url)

    def recognize_steps(
        self, video: VideoInput, **options: Unpack[RecognitionOptions]
    ) -> Iterator[StepEvent | RecognitionAnswer]:
        """Every step as it is taken, then the answer. Closing the iterator cancels the rest."""
        with self._asked(recognition(video, options, accept=EVENTS)) as response:
            reader = StepReader(self.url)
            for event in EventSource(response).iter_sse():
                if (item := reader.read(event)) is not None:
                    yield item
            reader.end()

    def timeline(self, video: VideoInput, **options: Unpack[TimelineOptions]) -> TimelineAnswer:
        """When what happens in the video, which may be hours long. Raises the errors of `fovea.errors`."""
        for item in self.timeline_segments(video, **options):
            if isinstance(item, TimelineAnswer):
                return item
        raise AssertionError("a timeline without an answer is an error")

    def timeline_segments(self, video: VideoInput, **options: Unpack[TimelineOptions]) -> Iterator[TimelineItem]:
        """Segments as they are found, how far it is now and then, the answer last.

        Closing the iterator cancels the rest.
        """
        with self._asked(timeline(video, options)) as response:
            reader = TimelineReader(self.url)
            for event in EventSource(response).iter_sse():
                if (item := reader.read(event)) is not None:
                    yield item
            reader.end()

    def submit(self, video: VideoInput, *, key: str | None = None, **options: Unpack[JobOptions]) -> Job:
        """Have a video recognised while nobody waits. Sent again with the same `key`, it is the same job."""
        with self._asked(job(video, options, key)) as response:
            return Job(parsed(JobAnswer, response.read(), self.url), self.url, self._asked)

    def job(self, job_id: str) -> Job:
        """The job of that id. Raises UnknownJob."""
        with self._asked(Call("GET", job_path(job_id))) as response:
            return Job(parsed(JobAnswer, response.read(), self.url), self.url, self._asked)

    def jobs(self, state: JobState | str | None = None) -> Jobs:
        """All jobs, or those of a state, the latest first."""
        return Jobs(self.url, self._asked, state)

    @contextmanager
    def _asked(self, call: Call) -> Iterator[httpx.Response]:
        """A successful answer, its body not read yet."""
        retry = Retry(self._retry_for_s)
        with call.sendable() as arguments, connection_errors(self.url):
            while True:
                response = self._http.send(self._http.build_request(**arguments), stream=True)
                try:
                    if response.is_success:
                        yield response
                        return
                    response.read()
                finally:
                    response.close()
                time.sleep(retry.wait_s(error_of(response)))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
