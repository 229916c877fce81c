"""Cameras through the client that waits. Knows which calls there are; how following goes on is `_resume`."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Unpack

import httpx
from httpx_sse import EventSource

from fovea._calls import STREAMS, Call, StreamOptions, stream_path, subscription
from fovea._problems import parsed
from fovea._resume import Resume, StreamEvent
from fovea.errors import ServiceLost, Unavailable
from fovea.stream_answers import Stream, StreamList


class Streams:
    """`Client.streams`. Raises the errors of `fovea.errors`."""

    def __init__(self, url: str, asked: Callable[[Call], AbstractContextManager[httpx.Response]]) -> None:
        self._url = url
        self._asked = asked

    def create(self, url: str, **options: Unpack[StreamOptions]) -> Stream:
        """Subscribe to the camera at `url` (rtsp://user:password@host/path). Nothing is waited for: see `follow`."""
        with self._asked(subscription(url, options)) as response:
            return parsed(Stream, response.read(), self._url)

    def list(self) -> list[Stream]:
        with self._asked(Call("GET", STREAMS)) as response:
            return parsed(StreamList, response.read(), self._url).streams

    def get(self, stream: str) -> Stream:
        with self._asked(Call("GET", stream_path(stream))) as response:
            return parsed(Stream, response.read(), self._url)

    def snapshot(self, stream: str) -> bytes:
        """The camera's latest picture, as a JPEG. Raises Unavailable where there is none."""
        with self._asked(Call("GET", f"{stream_path(stream)}/snapshot", "image/jpeg")) as response:
            return response.read()

    def delete(self, stream: str) -> None:
        with self._asked(Call("DELETE", stream_path(stream))):
            pass

    def follow(
        self, stream: str, *, last_event_id: str | None = None, reconnect_for_s: float = 60.0
    ) -> Iterator[StreamEvent]:
        """Events as they come, until the stream is deleted; each once, also where the service goes away and comes back.

        Without `last_event_id` the present state comes first; with it, everything after that event.
        """
        resume = Resume(stream, self._url, last_event_id, reconnect_for_s)
        while True:
            try:
                if resume.needs_start:
                    resume.begin(self.get(stream))
                with self._asked(resume.call()) as response:
                    for heard in EventSource(response).iter_sse():
                        if (event := resume.read(heard)) is not None:
                            yield event
                            if event.is_last:
                                return
                raise resume.ended()
            except (ServiceLost, Unavailable) as error:
                time.sleep(resume.wait_s(error))
