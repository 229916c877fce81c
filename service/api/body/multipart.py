"""A body that is a form (multipart/form-data): fields, and parts named `video` among them. Knows no option.

The parser pushes what it finds into a queue, which is read one event at a time.
"""

from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from fovea.errors import InvalidOption, InvalidUpload, MalformedUpload
from service.api.body.body import Body

VIDEO = "video"  # the name of the part that holds it
MAX_FIELD_BYTES = 1024
MAX_PREAMBLE_BYTES = 2**14
MAX_FIELDS = 16  # more than there are options


@dataclass(frozen=True, slots=True)
class Part:
    """The head of a part of a multipart body."""

    name: str
    filename: str | None


class PartEnd:
    """A part's last byte has been read."""


class MultipartUpload:
    """The fields of a form, then its video."""

    def __init__(self, body: Body, boundary: bytes) -> None:
        self._body = body
        self._events: deque[Part | bytes | PartEnd] = deque()
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""
        self._closed = False
        self._num_fields = 0
        self._preamble: bytearray | None = bytearray()  # what stands before the first boundary; None once it is over
        self._delimiter = b"--" + boundary
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
            fields.append(await self._read_field(part))
        raise InvalidUpload(f"the form has no part named {VIDEO!r}; put the file there")

    async def video(self) -> AsyncGenerator[bytes, None]:
        while isinstance(chunk := await self._next(), bytes):
            yield chunk

    async def later_fields(self) -> list[tuple[str, str]]:
        fields, follows = await self.until_next_video()
        if follows:
            raise InvalidUpload(f"the form has more than one part named {VIDEO!r}; send one video per request")
        return fields

    async def until_next_video(self) -> tuple[list[tuple[str, str]], bool]:
        fields: list[tuple[str, str]] = []
        while (part := await self._next_part()) is not None:
            if part.name == VIDEO:
                return fields, True
            fields.append(await self._read_field(part))
        return fields, False

    async def _read_field(self, part: Part) -> tuple[str, str]:
        if part.filename is not None:
            raise InvalidUpload(f"the file is in a part named {part.name!r}; name it {VIDEO!r}")
        if self._num_fields == MAX_FIELDS:
            raise InvalidUpload(f"there are more than {MAX_FIELDS} fields; there are not that many options")
        self._num_fields += 1
        return part.name, await self._text(part)

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
            if self._preamble is not None:
                chunk = self._after_preamble(chunk)
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise MalformedUpload(f"the body is no well-formed multipart/form-data: {error}") from error
        return self._events.popleft()

    def _after_preamble(self, chunk: bytes) -> bytes:
        """The body from its first boundary on; the text before it says nothing (RFC 2046, 5.1.1)."""
        assert self._preamble is not None
        self._preamble += chunk
        start = 0 if self._preamble.startswith(self._delimiter) else self._preamble.find(b"\r\n" + self._delimiter)
        if start < 0 and len(self._preamble) < MAX_PREAMBLE_BYTES:
            return b""
        body, self._preamble = bytes(self._preamble), None
        return body if start <= 0 else body[start + 2 :]  # without a boundary the parser says what is wrong

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
