"""Lets a refusal reach a client that is still sending its body. Knows no route and no error.

A server that answers early and closes at once makes TCP reset the connection, and the answer may be lost with it. So
after an early answer the rest of the body is thrown away for a while before the connection closes, as nginx's
`lingering_close` does.
"""

import asyncio
import contextlib

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_S = 10.0
LINGER_BYTES = 512 * 2**20  # nothing of it is kept; a client that sends on for longer has not looked for an answer


class LingeringClose:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = False  # whether the application ever read: only then a client that expects 100-continue is sending
        incomplete = _announces_body(scope)
        expects = any(name == b"expect" for name, _ in scope["headers"])

        async def watched_receive() -> Message:
            nonlocal asked, incomplete
            asked = True
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                incomplete = False
            return message

        async def lingering_send(message: Message) -> None:
            if message["type"] == "http.response.start" and incomplete:
                MutableHeaders(scope=message)["Connection"] = "close"
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not (last and incomplete) or (expects and not asked):
                await send(message)
                return
            await send({**message, "more_body": True})  # the whole answer is out; only the end is held back
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    thrown_away = 0
                    while incomplete and thrown_away < LINGER_BYTES:
                        thrown_away += len((await watched_receive()).get("body", b""))
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self.app(scope, watched_receive, lingering_send)


def _announces_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
