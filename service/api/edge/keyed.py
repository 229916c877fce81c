"""Who asks: the key of a request, what it opens, and how many requests it may still make.

Everything needs a key but what is listed here as open: health, and the pages, which hold nothing and ask for a key
themselves. `RateLimit` and `RateLimit-Policy` are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

import asyncio
import math
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fovea.errors import FoveaError, MissingScope, Unauthenticated
from service.api.edge.problems import response_to
from service.api.edge.refusing import Refusing
from service.keys.key import Key
from service.keys.key import Scope as KeyScope
from service.keys.quota import Standing
from service.keys.ring import KeyRing
from service.keys.spending import Accounts
from service.logs import asked_with

OPEN = frozenset({"/", "/livez", "/readyz", "/docs", "/playground", "/problems"})
OPEN_FOLDERS = ("/web/", "/swagger-ui/", "/problems/")
SCOPES = {  # the rest needs a key, whatever it opens
    "/metrics": KeyScope.ADMIN,
    "/v1/recognitions": KeyScope.RECOGNIZE,
    "/v1/timelines": KeyScope.RECOGNIZE,
    "/v1/jobs": KeyScope.RECOGNIZE,
    "/playground/clips": KeyScope.RECOGNIZE,
    "/v1/streams": KeyScope.STREAMS,
}
NO_ROOM = 429
COUNTED = "/v1/"  # a POST below it is a request that counts


class Keyed:
    """ASGI middleware. Sets `request.state.key`, and `request.state.standings` for the headers.

    `ring`: None where the service has no keys.
    """

    def __init__(self, app: ASGIApp, ring: KeyRing | None) -> None:
        self.app = app
        self._ring = ring
        self._refusing = Refusing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["key"], state["standings"] = None, []
        if self._ring is None or is_open(scope["path"]):
            await self.app(scope, receive, send)
            return

        async def telling_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == NO_ROOM and state["key"] is not None:
                    await asyncio.sleep(self._refusing.pause_s(state["key"].name))
                MutableHeaders(scope=message).update(rate_limits(state["standings"]))
            await send(message)

        try:
            key = state["key"] = self._key(Headers(scope=scope))
            with asked_with(key.name):
                check_scope(key, scope["path"])
                accounts: Accounts | None = scope["app"].state.accounts  # None: still loading, the route will say so
                if accounts is not None and scope["method"] == "POST" and scope["path"].startswith(COUNTED):
                    state["standings"] += (await accounts.meter.charge(key, "requests", 1)).standings
                await self.app(scope, receive, telling_send)
        except FoveaError as error:  # the application's own are answered inside
            response = response_to(error, state["request_id"])
            if (challenge := challenge_of(error, Headers(scope=scope))) is not None:
                response.headers["WWW-Authenticate"] = challenge
            await response(scope, receive, telling_send)

    def _key(self, headers: Headers) -> Key:
        """Raises Unauthenticated."""
        assert self._ring is not None
        scheme, _, secret = headers.get("authorization", "").strip().partition(" ")
        if not scheme:
            raise Unauthenticated("this service asks for a key: send the header `Authorization: Bearer KEY`")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated("the header Authorization is read here as `Authorization: Bearer KEY`; send that")
        return self._ring.key_of(secret.strip())


def is_open(path: str) -> bool:
    return path in OPEN or path.startswith(OPEN_FOLDERS)


def check_scope(key: Key, path: str) -> None:
    """Raises MissingScope."""
    for where, scope in SCOPES.items():
        if (path == where or path.startswith(where + "/")) and not key.opens(scope):
            raise MissingScope(
                f"{where} needs the scope {scope.value!r}, and the key {key.name!r} has {', '.join(key.scopes)}; ask "
                "with another key, or have the operator add the scope",
                scope=scope.value,
            )


def challenge_of(error: FoveaError, headers: Headers) -> str | None:
    """WWW-Authenticate (RFC 6750, 3); None where it does not belong."""
    if isinstance(error, MissingScope):
        return f'Bearer realm="fovea", error="insufficient_scope", scope="{error.extra["scope"]}"'
    if isinstance(error, Unauthenticated):
        return 'Bearer realm="fovea"' + (', error="invalid_token"' if "authorization" in headers else "")
    return None


def rate_limits(standings: Iterable[Standing]) -> dict[str, str]:
    """Both headers; none where the key has no limit. GFLOPs are told as whole ones, rounded down."""
    policies, rest = [], []
    for standing in standings:
        bound, unit = standing.bound, 1 if standing.bound.unit == "requests" else 10**9
        kind = "" if bound.unit == "requests" else ';qu="gflops"'
        policies.append(f'"{bound.name}";q={bound.most // unit};w={bound.window_s}{kind}')
        rest.append(f'"{bound.name}";r={standing.left // unit};t={max(0, math.ceil(standing.reset_s))}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(rest)} if policies else {}
