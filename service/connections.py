"""One connection: how much may stand in a request's head, how long it may take, and clients that half-close.

uvicorn's httptools protocol bounds neither the bytes of a head nor the time it takes, and takes the end of a client's
sending for the end of its listening. Knows no route.
"""

import asyncio
import json
import socket
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fovea.errors import FoveaError, HeadersTooLarge, UploadTimeout

STATUS_LINES = {HeadersTooLarge: b"431 Request Header Fields Too Large", UploadTimeout: b"408 Request Timeout"}
LINGER_S = 2.0  # what comes after a refusal is thrown away for so long, or TCP's reset would take the refusal with it
LOOK_S = 0.1  # between looks at whether a client that sends no more is still there
GONE = 7  # TCP_CLOSE in Linux's tcp_states.h: the client has answered with a reset


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """What a request may send before its body."""

    max_bytes: int  # request line and headers
    max_headers: int
    timeout_s: float  # from the connection, or from the answer before, to the last header
    idle_s: float  # between an answer and the next request


class HeadRefused(Exception):
    """Leaves the parser's callback; the refusal itself waits in the connection."""


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's protocol, with limits."""

    def __init__(self, *args: Any, limits: HeadLimits, **named: Any) -> None:
        super().__init__(*args, **named)
        self._limits = limits
        self._num_headers = 0  # of the request that is being read
        self._head_bytes = 0
        self._silent_bytes = 0  # that came since the parser last told of a complete head, or of a piece of a body
        self._head_timer: asyncio.TimerHandle | None = None
        self._refusal: FoveaError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._wait_for_head(self._limits.timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return  # thrown away
        self._silent_bytes += len(data)
        super().data_received(data)
        if self._refusal is None and self._silent_bytes > 2 * self._limits.max_bytes:
            self._refuse(
                self._too_large()
            )  # one endless header, trailer or chunk extension: the parser keeps it to itself

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._num_headers = self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._num_headers += 1
        self._count(len(name) + len(value) + 4)  # a colon, a space, the line's end
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._silent_bytes = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline and not self.transport.is_closing():
            self._wait_for_head(self._limits.idle_s + self._limits.timeout_s)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for whatever left the parser: our refusals, too."""
        if self._refusal is None:
            super().send_400_response(msg)
        else:
            self._refuse(self._refusal)

    def _count(self, num_bytes: int) -> None:
        self._head_bytes += num_bytes
        if self._head_bytes > self._limits.max_bytes or self._num_headers > self._limits.max_headers:
            self._refusal = self._too_large()
            raise HeadRefused

    def _too_large(self) -> HeadersTooLarge:
        return HeadersTooLarge(
            f"the request's head is larger than the {self._limits.max_bytes} bytes and {self._limits.max_headers} "
            "headers that are read; send fewer and shorter headers, and what belongs into a body there",
            max_bytes=self._limits.max_bytes,
            max_headers=self._limits.max_headers,
        )

    def _wait_for_head(self, seconds: float) -> None:
        self._stop_waiting()
        self._head_timer = self.loop.call_later(seconds, self._on_head_late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_late(self) -> None:
        if self.transport.is_closing():
            return
        if self._silent_bytes == 0:
            self.transport.close()  # it never asked for anything
            return
        self._refuse(
            UploadTimeout(
                f"the request's headers were not complete after {self._limits.timeout_s:g} s; send them in one piece"
            )
        )

    def _refuse(self, error: FoveaError) -> None:
        """Answer without the application, and close once the client had time to read it."""
        self._refusal = error
        self._stop_waiting()
        status = STATUS_LINES[type(error)]
        problem = {
            "type": f"/problems/{error.slug}",
            "title": error.title,
            "status": int(status[:3]),
            "detail": error.detail,
            **error.extra,
        }
        body = json.dumps(problem).encode()
        if not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
                self.transport.write(
                    b"HTTP/1.1 " + status + b"\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
                    b"content-length: " + str(len(body)).encode() + b"\r\n\r\n" + body
                )
            self.loop.call_later(LINGER_S, self.transport.close)

    # A client that sends no more may still listen: `nc`, and whoever calls shutdown(SHUT_WR) after the body.

    def eof_received(self) -> bool | None:  # type: ignore[override]  # True keeps the connection open, as asyncio has it
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.response_started or cycle.more_body or self._refusal:
            return None
        cycle.keep_alive = False
        if cycle.scope["http_version"] == "1.1":
            # Whoever is gone for good answers to any byte with a reset; whoever listens skips this one.
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.loop.call_later(LOOK_S, self._look_whether_gone)
        return True

    def _look_whether_gone(self) -> None:
        if self.transport.is_closing() or self.cycle.response_complete:
            return
        if _tcp_state(self.transport) == GONE:
            self.transport.abort()
        else:
            self.loop.call_later(LOOK_S, self._look_whether_gone)


def _tcp_state(transport: asyncio.Transport) -> int | None:
    """Linux's name for where the connection stands; None elsewhere."""
    connection = transport.get_extra_info("socket")
    if connection is None or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        state: int = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return GONE
    return state
