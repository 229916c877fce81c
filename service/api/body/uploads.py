"""An upload by its content type: the video, a form that holds it, or JSON that says where it is.

Knows no option and no file.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from fastapi import Request
from python_multipart.multipart import parse_options_header

from fovea.errors import MalformedUpload, UnsupportedMediaType
from service.api.body.body import Body
from service.api.body.by_url import MAX_BODY_BYTES, UrlUpload
from service.api.body.multipart import VIDEO, MultipartUpload
from service.fetch.arrival import Piece
from service.fetch.fetcher import Fetcher


class Upload(Protocol):
    """One upload, read front to back: fields, the video, and the fields that come after it."""

    async def fields(self) -> list[tuple[str, str]]:
        """The form fields before the video; reads no byte of the video."""
        ...

    def video(self) -> AsyncGenerator[Piece, None]:
        """The video's bytes; what is sent comes front to back, without announcement."""
        ...

    async def later_fields(self) -> list[tuple[str, str]]:
        """The form fields after the video, to the end of the body. Raises InvalidUpload where another video follows."""
        ...

    async def until_next_video(self) -> tuple[list[tuple[str, str]], bool]:
        """The form fields after the video, and whether another one follows: then `video` gives that."""
        ...


class RawUpload:
    """The body is the video."""

    def __init__(self, body: Body) -> None:
        self._body = body

    async def fields(self) -> list[tuple[str, str]]:
        return []

    async def video(self) -> AsyncGenerator[bytes, None]:
        while chunk := await self._body.read():
            yield chunk

    async def later_fields(self) -> list[tuple[str, str]]:
        return []

    async def until_next_video(self) -> tuple[list[tuple[str, str]], bool]:
        return [], False


def open_upload(request: Request, *, max_bytes: int, timeout_s: float, min_bytes_per_s: int = 0) -> Upload:
    """The upload of a request, by its content type; nothing is read yet.

    Raises UnsupportedMediaType, UploadTooLarge, MalformedUpload.
    """
    declared = request.headers.get("content-type")
    kind, parameters = parse_options_header(declared)
    body = Body(request, max_bytes=max_bytes, timeout_s=timeout_s, min_bytes_per_s=min_bytes_per_s)
    if kind == b"multipart/form-data":
        if not parameters.get(b"boundary"):
            raise MalformedUpload("Content-Type: multipart/form-data comes without a boundary; let your client set it")
        return MultipartUpload(body, parameters[b"boundary"])
    if kind == b"application/json":
        small = Body(request, max_bytes=MAX_BODY_BYTES, timeout_s=timeout_s, min_bytes_per_s=min_bytes_per_s)
        fetcher: Fetcher = request.app.state.fetcher
        return UrlUpload(small, fetcher.within(max_bytes=max_bytes, timeout_s=timeout_s))
    if kind.startswith(b"video/") or kind == b"application/octet-stream":
        return RawUpload(body)
    raise UnsupportedMediaType(
        f"Content-Type {declared!r} is not read here; send multipart/form-data with a part named {VIDEO!r}, "
        "the video itself as video/* or application/octet-stream, or JSON that says where it is: "
        '{"url": "https://host/path"}'
    )
