"""All the videos of a request, brought to files: as they are sent, or fetched. Knows no option and no model."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request

from fovea.errors import InvalidUpload, RequestCancelled
from service.api.body.body import announced_bytes
from service.api.body.by_url import UrlUpload
from service.api.body.multipart import VIDEO
from service.api.body.spool import save, spooled
from service.api.body.uploads import Upload
from service.api.edge.parts import tracing_of
from service.api.recognitions.several import Spooled
from service.engine.early import EarlyDecoding

T = TypeVar("T")


async def spool_all(
    request: Request,
    upload: Upload,
    spool: ExitStack,
    folder: Path,
    most: int,
    begin_early: Callable[[Path, int | None], EarlyDecoding | None] = lambda path, expected_bytes: None,
) -> tuple[list[Spooled], list[tuple[str, str]]]:
    """The videos, `most` of them at most, and the fields that came after the first. They are gone with `spool`.

    `begin_early`: asked of each before its first byte, with the number of bytes that are expected.
    Raises InvalidUpload, Unavailable, and what reading a body raises.
    """
    videos: list[Spooled] = []
    later: list[tuple[str, str]] = []
    follows = True
    while follows:
        if len(videos) == most:
            raise InvalidUpload(
                f"the form has more than {most} parts named {VIDEO!r}; send the rest in a request of its own"
                + (", or ask for application/json: events are told of one video" if most == 1 else "")
            )
        path = spool.enter_context(spooled(folder))
        early = begin_early(path, None if isinstance(upload, UrlUpload) else announced_bytes(request))
        if early is not None:
            spool.enter_context(early)
        videos.append(Spooled(path, await save_unless_client_leaves(request, upload, path, early), early))
        fields, follows = await upload.until_next_video()
        later += fields
    return videos, later


async def save_unless_client_leaves(
    request: Request, upload: Upload, path: Path, early: EarlyDecoding | None = None
) -> float:
    """The seconds it took. Raises what `save` does, and RequestCancelled."""
    with tracing_of(request).span("upload", by_url=isinstance(upload, UrlUpload)):
        if not isinstance(upload, UrlUpload):
            return await save(upload.video(), path, early)
        video = upload.video() if early is None else upload.video(early.wants_end)
        return await unless_client_leaves(request, save(video, path, early))  # all of the body has been read


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; cancel it when the client closes the connection. Raises RequestCancelled then.

    The request's body must have been read to its end.
    """
    task = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RequestCancelled.before_answer()
        return task.result()
    finally:
        task.cancel()
        leaving.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
