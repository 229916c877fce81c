"""Who may ask, and from which page: hosts, origins, and headers that keep other pages out. Knows no route and no model.

A page of another site can make a browser send requests here, even to 127.0.0.1. Three things keep it out: the name in
`Host` must be one of ours (a name that an attacker rebinds to this address is not; an IP address cannot be rebound),
what changes anything must not come from a page of another origin, and answers say that nobody else may embed them.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fovea.errors import ForeignOrigin, FoveaError, UnknownHost
from service.api.edge.problems import response_to

ANY = "*"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], origins: Collection[str]) -> None:
        """`hosts`: names besides localhost and IP addresses; `*`: any. `origins`: besides the service's own."""
        self.app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        try:
            self._check_host(headers.get("host"))
            if scope["method"] not in SAFE_METHODS:
                self._check_origin(headers)
        except FoveaError as error:
            await response_to(error, scope["state"]["request_id"])(scope, receive, guarded_send)
            return
        await self.app(scope, receive, guarded_send)

    def _check_host(self, host: str | None) -> None:
        """Raises UnknownHost. No browser leaves the header out."""
        if host is None or ANY in self._hosts:
            return
        name = host_name(host)
        if name not in self._hosts and not (name == "localhost" or name.endswith(".localhost") or is_address(name)):
            raise UnknownHost(
                f"this service does not answer to the name {name[:253]!r}; ask by its address, or have its "
                "operator add the name to FOVEA_ALLOWED_HOSTS"
            )

    def _check_origin(self, headers: Headers) -> None:
        """Raises ForeignOrigin. Whoever is no browser sends neither header."""
        origin = headers.get("origin")
        if origin is None:
            if headers.get("sec-fetch-site") == "cross-site":
                raise ForeignOrigin("this request comes from a page of another site; pages may not ask here")
        elif origin not in self._origins and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            raise ForeignOrigin(
                f"this request comes from a page of {origin[:253]!r}, which may not ask here; the operator can "
                "allow it in FOVEA_ALLOWED_ORIGINS"
            )


def host_name(host: str) -> str:
    """The name in a Host header: without port, without brackets, in small letters."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
