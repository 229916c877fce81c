"""The client for asyncio: `_client`, awaited. Knows the same and no more."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Self, Unpack, overload

import httpx
from httpx_sse import EventSource

from fovea._async_jobs import AsyncJob, AsyncJobs
from fovea._async_streams import AsyncStreams
from fovea._calls import (
    EVENTS,
    JSON,
    RECOGNITIONS,
    TIMELINES,
    Call,
    JobOptions,
    RecognitionOptions,
    TimelineJobOptions,
    TimelineOptions,
    VideoInput,
    authorization,
    job,
    job_path,
    recognition,
    recognitions,
    timeline,
)
from fovea._problems import connection_errors, error_of, parsed
from fovea._retry import Retry
from fovea._several import OF_ONE_VIDEO, each_of
from fovea._steps import StepReader
from fovea._timelines import TimelineItem, TimelineReader
from fovea.answers import RecognitionAnswer, StepEvent
from fovea.errors import FoveaError
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

    @overload
    async def recognize(  # type: ignore[overload-overlap]  # a text is a sequence of texts, too; here it is one video
        self, video: VideoInput, *, no_store: bool = False, **options: Unpack[RecognitionOptions]
    ) -> RecognitionAnswer: ...

    @overload
    async def recognize(
        self, video: Sequence[VideoInput], *, no_store: bool = False, **options: Unpack[RecognitionOptions]
    ) -> list[RecognitionAnswer | FoveaError]: ...

    async def recognize(
        self,
        video: VideoInput | Sequence[VideoInput],
        *,
        no_store: bool = False,
        **options: Unpack[RecognitionOptions],
    ) -> RecognitionAnswer | list[RecognitionAnswer | FoveaError]:
        """What happens in the video. Raises the errors of `fovea.errors`.

        Of several videos: what happens in each, asked for in one request, in their order. What is wrong with one of
        them is in its place, as the error that it would have raised alone; what is wrong with all of it is raised.

        `no_store`: computed, though the same video was answered before, and nothing held of it.
        """
        if isinstance(video, Sequence) and not isinstance(video, str | bytes):
            return await self._recognize_several(video, options, no_store)
        async with self._asked(recognition(video, options, accept=JSON, no_store=no_store)) as response:
            return parsed(RecognitionAnswer, await response.aread(), self.url)

    async def _recognize_several(
        self, videos: Sequence[VideoInput], options: RecognitionOptions, no_store: bool
    ) -> list[RecognitionAnswer | FoveaError]:
        if not videos:
            return []
        if len(videos) == 1:
            try:
                return [await self.recognize(videos[0], no_store=no_store, **options)]
            except OF_ONE_VIDEO as error:
                return [error]
        async with self._asked(recognitions(videos, options, no_store=no_store)) as response:
            return each_of(await response.aread(), self.url)

    async def recognize_steps(
        self, video: VideoInput, *, no_store: bool = False, **options: Unpack[RecognitionOptions]
    ) -> AsyncGenerator[StepEvent | RecognitionAnswer, None]:
        """Every step as it is taken, then the answer. Closing the iterator (`aclosing`) cancels the rest."""
        async with self._asked(recognition(video, options, accept=EVENTS, no_store=no_store)) as response:
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

    async def submit(
        self, video: VideoInput, *, key: str | None = None, no_store: bool = False, **options: Unpack[JobOptions]
    ) -> AsyncJob[RecognitionAnswer]:
        """Have a video recognised while nobody waits. Sent again with the same `key`, it is the same job."""
        return AsyncJob(
            await self._job(job(RECOGNITIONS, video, options, key, no_store=no_store)), self.url, self._asked
        )

    async def submit_timeline(
        self, video: VideoInput, *, key: str | None = None, **options: Unpack[TimelineJobOptions]
    ) -> AsyncJob[TimelineAnswer]:
        """Have a timeline made while nobody waits. Sent again with the same `key`, it is the same job."""
        return AsyncJob(await self._job(job(TIMELINES, video, options, key)), self.url, self._asked)

    async def job(self, job_id: str) -> AsyncJob[RecognitionAnswer | TimelineAnswer]:
        """The job of that id. Raises UnknownJob."""
        return AsyncJob(await self._job(Call("GET", job_path(job_id))), self.url, self._asked)

    async def _job(self, call: Call) -> JobAnswer:
        async with self._asked(call) as response:
            return parsed(JobAnswer, await response.aread(), self.url)

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
