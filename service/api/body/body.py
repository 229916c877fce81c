"""The bytes of a request, read as they come, counted, timed and decompressed. Knows no form and no video."""

import asyncio

from fastapi import Request

from fovea.errors import RequestCancelled, UploadTimeout, UploadTooLarge
from service.api.body.encoding import inflater_of

GRACE_S = 10.0  # before a body's rate is looked at: a camera phone may begin slowly


class Body:
    """The bytes of a request, counted against a limit and against the clock."""

    def __init__(self, request: Request, *, max_bytes: int, timeout_s: float, min_bytes_per_s: int = 0) -> None:
        """Raises UploadTooLarge at once when the client announces too much, UnsupportedMediaType for its encoding."""
        self._receive = request.receive
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._min_bytes_per_s = min_bytes_per_s
        self._started_s = asyncio.get_running_loop().time()
        self._deadline_s = self._started_s + timeout_s
        self._inflater = inflater_of(request.headers.get("content-encoding"))
        self._num_decoded = 0
        self._num_bytes = 0
        self._complete = False
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > max_bytes:
            raise self._too_large(f"the body of {announced} bytes")

    async def read(self) -> bytes:
        """The next bytes, decompressed; empty at the end.

        Raises UploadTooLarge (also for what it inflates to), UploadTimeout, MalformedUpload, and RequestCancelled at a
        cut.
        """
        if self._inflater is None:
            return await self._read()
        while True:
            chunk = self._inflater.next()
            if chunk:
                self._num_decoded += len(chunk)
                if self._num_decoded > self._max_bytes:
                    raise self._too_large("the body, decompressed,")
                return chunk
            packed = await self._read()
            if not packed:
                self._inflater.finish()
                return b""
            self._inflater.feed(packed)

    async def _read(self) -> bytes:
        while not self._complete:
            try:
                async with asyncio.timeout_at(self._deadline_s):
                    message = await self._receive()
            except TimeoutError:
                raise UploadTimeout(
                    f"the body was not complete after {self._timeout_s:g} s ({self._num_bytes} bytes came); "
                    "send a smaller file, or from closer by"
                ) from None
            if message["type"] == "http.disconnect":
                raise RequestCancelled(f"the client left after {self._num_bytes} bytes of the body")
            self._complete = not message.get("more_body", False)
            chunk: bytes = message.get("body", b"")
            self._num_bytes += len(chunk)
            if self._num_bytes > self._max_bytes:
                raise self._too_large("the body")
            self._check_rate()
            if chunk:
                return chunk
        return b""

    def _check_rate(self) -> None:
        seconds = asyncio.get_running_loop().time() - self._started_s
        if not self._complete and seconds > GRACE_S and self._num_bytes < self._min_bytes_per_s * seconds:
            raise UploadTimeout(
                f"the body comes at {self._num_bytes / seconds:.0f} bytes a second, and {self._min_bytes_per_s} are "
                "the least; send a smaller file, or from closer by"
            )

    def _too_large(self, what: str) -> UploadTooLarge:
        return UploadTooLarge(
            f"{what} is larger than the {self._max_bytes} bytes allowed; shorten the video or encode it smaller",
            max_bytes=self._max_bytes,
        )


def announced_bytes(request: Request) -> int | None:
    """Of the body, as it is; None where the client does not say, or compresses it."""
    announced = request.headers.get("content-length", "")
    encoding = request.headers.get("content-encoding", "identity")
    return int(announced) if announced.isdecimal() and encoding == "identity" else None
