"""Reads a request body as a stream, counted and timed, never held whole. Knows no video and no option.

A body is either the video itself, or multipart/form-data: option fields first, then one part named `video`.
"""

import asyncio
import logging
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Protocol

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from fovea.errors import (
    InvalidOption,
    InvalidUpload,
    MalformedUpload,
    RequestCancelled,
    Unavailable,
    UnsupportedMediaType,
    UploadTimeout,
    UploadTooLarge,
)

log = logging.getLogger(__name__)

VIDEO = "video"  # the name of the part that holds it
MAX_FIELD_BYTES = 1024
WRITE_BYTES = 2**20  # what is held of an upload before it is written
MAX_FIELDS = 16  # more than there are options


class Upload(Protocol):
    """One upload, read front to back: first the fields, then the video."""

    async def fields(self) -> list[tuple[str, str]]:
        """The form fields before the video; reads no byte of the video."""
        ...

    def video(self) -> AsyncIterator[bytes]:
        """The video's bytes, to the end of the body."""
        ...


class Body:
    """The bytes of a request, counted against a limit and against the clock."""

    def __init__(self, request: Request, *, max_bytes: int, timeout_s: float) -> None:
        """Raises UploadTooLarge at once when the client announces too much."""
        self._receive = request.receive
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._deadline_s = asyncio.get_running_loop().time() + timeout_s
        self._num_bytes = 0
        self._complete = False
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > max_bytes:
            raise self._too_large(f"the body of {announced} bytes")

    async def read(self) -> bytes:
        """The next bytes; empty at the end. Raises UploadTooLarge, UploadTimeout, and RequestCancelled at a cut."""
        while not self._complete:
            try:
                async with asyncio.timeout_at(self._deadline_s):
                    message = await self._receive()
            except TimeoutError:
                raise UploadTimeout(
                    f"the body was not complete after {self._timeout_s:g} s ({self._num_bytes} bytes came); "
                    "send a smaller file, or use a faster connection"
                ) from None
            if message["type"] == "http.disconnect":
                raise RequestCancelled(f"the client left after {self._num_bytes} bytes of the body")
            self._complete = not message.get("more_body", False)
            chunk: bytes = message.get("body", b"")
            self._num_bytes += len(chunk)
            if self._num_bytes > self._max_bytes:
                raise self._too_large("the body")
            if chunk:
                return chunk
        return b""

    def _too_large(self, what: str) -> UploadTooLarge:
        return UploadTooLarge(
            f"{what} is larger than the {self._max_bytes} bytes allowed; shorten the video or encode it smaller",
            max_bytes=self._max_bytes,
        )


class RawUpload:
    """The body is the video."""

    def __init__(self, body: Body) -> None:
        self._body = body

    async def fields(self) -> list[tuple[str, str]]:
        return []

    async def video(self) -> AsyncIterator[bytes]:
        while chunk := await self._body.read():
            yield chunk


@dataclass(frozen=True, slots=True)
class Part:
    """The head of a part of a multipart body."""

    name: str
    filename: str | None


class PartEnd:
    """A part's last byte has been read."""


class MultipartUpload:
    """The body is a form. The parser pushes what it finds into a queue, which is read one event at a time."""

    def __init__(self, body: Body, boundary: bytes) -> None:
        self._body = body
        self._events: deque[Part | bytes | PartEnd] = deque()
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""
        self._closed = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": lambda data, start, end: self._events.append(data[start:end]),
                    "on_part_end": lambda: self._events.append(PartEnd()),
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise MalformedUpload(f"the multipart boundary is not valid: {error}") from error

    async def fields(self) -> list[tuple[str, str]]:
        """Raises InvalidUpload when the body ends without a video, InvalidOption for a field that is no text."""
        fields: list[tuple[str, str]] = []
        while (part := await self._next_part()) is not None:
            if part.name == VIDEO:
                return fields
            if part.filename is not None:
                raise InvalidUpload(f"the file is in a part named {part.name!r}; name it {VIDEO!r}")
            if len(fields) == MAX_FIELDS:
                raise InvalidUpload(f"there are more than {MAX_FIELDS} fields; there are not that many options")
            fields.append((part.name, await self._text(part)))
        raise InvalidUpload(f"the form has no part named {VIDEO!r}; put the file there, after the options")

    async def video(self) -> AsyncIterator[bytes]:
        while isinstance(chunk := await self._next(), bytes):
            yield chunk
        if (part := await self._next_part()) is not None:
            if part.name == VIDEO:
                raise InvalidUpload(f"the form has more than one part named {VIDEO!r}; send one video per request")
            raise InvalidOption(
                f"field {part.name!r} comes after the video, when it is too late to heed it; send it before",
                option=part.name,
            )

    async def _text(self, part: Part) -> str:
        value = b""
        while isinstance(chunk := await self._next(), bytes):
            value += chunk
            if len(value) > MAX_FIELD_BYTES:
                raise InvalidOption(f"option {part.name!r} is longer than {MAX_FIELD_BYTES} bytes", option=part.name)
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InvalidOption(f"option {part.name!r} is not UTF-8 text", option=part.name) from None

    async def _next_part(self) -> Part | None:
        """The head of the next part; None at the end. Only called between parts."""
        event = await self._next()
        assert event is None or isinstance(event, Part), "a part's bytes were left unread"
        return event

    async def _next(self) -> Part | bytes | PartEnd | None:
        while not self._events:
            chunk = await self._body.read()
            if not chunk:
                if not self._closed:
                    raise MalformedUpload("the form breaks off before its closing boundary; send all of it")
                return None
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise MalformedUpload(f"the body is no well-formed multipart/form-data: {error}") from error
        return self._events.popleft()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _on_headers_finished(self) -> None:
        kind, parameters = parse_options_header(self._headers.get(b"content-disposition"))
        name = parameters.get(b"name")
        if kind != b"form-data" or name is None:
            raise MalformedUpload("a part of the form has no Content-Disposition: form-data with a name")
        filename = parameters.get(b"filename")
        self._events.append(
            Part(name.decode(errors="replace"), None if filename is None else filename.decode(errors="replace"))
        )

    def _on_end(self) -> None:
        self._closed = True


def open_upload(request: Request, *, max_bytes: int, timeout_s: float) -> Upload:
    """The upload of a request, by its content type; nothing is read yet.

    Raises UnsupportedMediaType, UploadTooLarge, MalformedUpload.
    """
    declared = request.headers.get("content-type")
    kind, parameters = parse_options_header(declared)
    body = Body(request, max_bytes=max_bytes, timeout_s=timeout_s)
    if kind == b"multipart/form-data":
        if not parameters.get(b"boundary"):
            raise MalformedUpload("Content-Type: multipart/form-data comes without a boundary; let your client set it")
        return MultipartUpload(body, parameters[b"boundary"])
    if kind.startswith(b"video/") or kind == b"application/octet-stream":
        return RawUpload(body)
    raise UnsupportedMediaType(
        f"Content-Type {declared!r} is not read here; send multipart/form-data with a part named {VIDEO!r}, "
        "or the video itself as video/* or application/octet-stream"
    )


@contextmanager
def spooled(folder: Path) -> Iterator[Path]:
    """An empty file for an upload; it is gone afterwards, whatever happened. Raises Unavailable when there is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="fovea-", suffix=".upload", delete=False) as file:
            path = Path(file.name)
    except OSError as error:
        raise _not_stored(error) from error
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


async def save(upload: Upload, path: Path) -> float:
    """Write the upload's video to `path`; returns the seconds it took.

    Raises InvalidUpload when it is empty, Unavailable when the disk does not take it. The file is written in a thread,
    a megabyte at a time: a full page cache or a network disk may take its time.
    """
    started_s = time.monotonic()
    num_bytes = 0
    pending = bytearray()
    try:
        with path.open("wb", buffering=0) as file:
            async for chunk in upload.video():
                pending += chunk
                if len(pending) >= WRITE_BYTES:
                    num_bytes += len(pending)
                    await asyncio.to_thread(_write, file, pending)
                    pending = bytearray()
            num_bytes += len(pending)
            await asyncio.to_thread(_write, file, pending)
    except OSError as error:
        raise _not_stored(error) from error
    if num_bytes == 0:
        raise InvalidUpload("the video is empty: 0 bytes came; check the file, and curl's @ before its name")
    return time.monotonic() - started_s


def _write(file: RawIOBase, content: bytearray) -> None:
    view = memoryview(content)
    while view:  # a raw file may take less than it is given
        view = view[file.write(view) or 0 :]


def _not_stored(error: OSError) -> Unavailable:
    log.error("an upload could not be stored: %s", error)  # the client cannot help it, the operator must
    return Unavailable(f"the service could not store the upload ({error.strerror}); try again later", retry_after_s=30)
