"""The bytes of a request, read as they come, counted and timed. Knows no form and no video."""

import asyncio

from fastapi import Request

from fovea.errors import RequestCancelled, UploadTimeout, UploadTooLarge


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
                    "send a smaller file, or from closer by"
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
