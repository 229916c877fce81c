"""The client for asyncio: `_client`, awaited. Knows the same and no more."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Self, Unpack

import httpx
from httpx_sse import EventSource

from fovea._async_jobs import AsyncJob, AsyncJobs
from fovea._async_streams import AsyncStreams
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
from fovea._problems import connection_errors, error_of, parsed
from fovea._retry import Retry
from fovea._steps import StepReader
from fovea._timelines import TimelineItem, TimelineReader
from fovea.answers import RecognitionAnswer, StepEvent
from fovea.job_answers import JobAnswer
from fovea.timeline_answers import TimelineAnswer
from fovea.words import JobState


class AsyncClient:
    """One service. Belongs to one event loop; `await close()` it, or use it in an `async with`.

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
        self._http = httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(timeout_s, connect=10), headers=given)
        self.streams = AsyncStreams(url, self._asked)

    async def recognize(self, video: VideoInput, **options: Unpack[RecognitionOptions]) -> RecognitionAnswer:
        """What happens in the video. Raises the errors of `fovea.errors`."""
        async with self._asked(recognition(video, options, accept=JSON)) as response:
            return parsed(RecognitionAnswer, await response.aread(), self.url)

    async def recognize_steps(
        self, video: VideoInput, **options: Unpack[RecognitionOptions]
    ) -> AsyncGenerator[StepEvent | RecognitionAnswer, None]:
        """Every step as it is taken, then the answer. Closing the iterator (`aclosing`) cancels the rest."""
        async with self._asked(recognition(video, options, accept=EVENTS)) as response:
            reader = StepReader(self.url)
            async for event in EventSource(response).aiter_sse():
                if (item := reader.read(event)) is not None:
                    yield item
            reader.end()

    async def timeline(self, video: VideoInput, **options: Unpack[TimelineOptions]) -> TimelineAnswer:
        """When what happens in the video, which may be hours long. Raises the errors of `fovea.errors`."""
        async with aclosing(self.timeline_segments(video, **options)) as items:
            async for item in items:
                if isinstance(item, TimelineAnswer):
                    return item
        raise AssertionError("a timeline without an answer is an error")

    async def timeline_segments(
        self, video: VideoInput, **options: Unpack[TimelineOptions]
    ) -> AsyncGenerator[TimelineItem, None]:
        """Segments as they are found, how far it is now and then, the answer last.

        Closing the iterator (`aclosing`) cancels the rest.
        """
        async with self._asked(timeline(video, options)) as response:
            reader = TimelineReader(self.url)
            async for event in EventSource(response).aiter_sse():
                if (item := reader.read(event)) is not None:
                    yield item
            reader.end()

    async def submit(self, video: VideoInput, *, key: str | None = None, **options: Unpack[JobOptions]) -> AsyncJob:
        """Have a video recognised while nobody waits. Sent again with the same `key`, it is the same job."""
        async with self._asked(job(video, options, key)) as response:
            return AsyncJob(parsed(JobAnswer, await response.aread(), self.url), self.url, self._asked)

    async def job(self, job_id: str) -> AsyncJob:
        """The job of that id. Raises UnknownJob."""
        async with self._asked(Call("GET", job_path(job_id))) as response:
            return AsyncJob(parsed(JobAnswer, await response.aread(), self.url), self.url, self._asked)

    def jobs(self, state: JobState | str | None = None) -> AsyncJobs:
        """All jobs, or those of a state, the latest first."""
        return AsyncJobs(self.url, self._asked, state)

    @asynccontextmanager
    async def _asked(self, call: Call) -> AsyncIterator[httpx.Response]:
        """A successful answer, its body not read yet."""
        retry = Retry(self._retry_for_s)
        with call.sendable() as arguments, connection_errors(self.url):
            while True:
                response = await self._http.send(self._http.build_request(**arguments), stream=True)
                try:
                    if response.is_success:
                        yield response
                        return
                    await response.aread()
                finally:
                    await response.aclose()
                await asyncio.sleep(retry.wait_s(error_of(response)))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()
