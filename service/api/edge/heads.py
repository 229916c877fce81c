"""HEAD wherever GET is: the same answer without its body. Knows no route."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """ASGI middleware. The application sees a GET whose client leaves as soon as the answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        answered = False

        async def bodiless_send(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                await send(message)
            elif not answered:
                answered = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def leaving_receive() -> Message:
            return {"type": "http.disconnect"} if answered else await receive()

        seen = {**scope, "method": "GET"}  # the server goes by its own: it would miss the body
        try:
            await self.app(seen, leaving_receive, bodiless_send)
        finally:
            scope.update({name: seen[name] for name in ("route",) if name in seen})  # for the metrics around
