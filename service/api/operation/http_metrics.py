"""The layer around every route: the request's id, its duration, and a problem for what nobody expected.

Knows no route; it learns afterwards which one matched, because a metric's label must never be a raw path.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from contextlib import ExitStack

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ulid import ULID

from fovea.errors import Draining, FoveaError
from service.api.edge.load import LOAD_HEADER, tells_load
from service.api.edge.problems import response_to
from service.logs import told_of
from service.metrics import Metrics
from service.tracing.tracing import Tracing

log = logging.getLogger(__name__)

ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # safe in a log line and in a URN
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})


class HttpMetrics:
    """ASGI middleware. Sets `request.state.request_id`, taken from X-Request-ID where that is well-formed.

    `load`: how full the service is, for whoever chooses between replicas; None: not known yet.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, tracing: Tracing, load: Callable[[], float | None] = lambda: None
    ) -> None:
        self.app = app
        self._metrics = metrics
        self._tracing = tracing
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        if not ACCEPTABLE_ID.fullmatch(request_id):
            request_id = f"req_{ULID()}"
        scope.setdefault("state", {})["request_id"] = request_id
        is_load_told = tells_load(scope["path"])
        status: int | None = None
        started_s = time.monotonic()
        ended_s: float | None = None  # when the answer was complete; a client that goes on sending does not count

        async def noting_send(message: Message) -> None:
            nonlocal status, ended_s
            if message["type"] == "http.response.start":
                status = message["status"]
                said = MutableHeaders(scope=message)
                said["X-Request-ID"] = request_id
                if is_load_told and (load := self._load()) is not None:
                    said[LOAD_HEADER] = f"{load:.3f}"
            elif not message.get("more_body", False):
                ended_s = time.monotonic()
            await send(message)

        telling = ExitStack()
        telling.enter_context(told_of(request_id, self._tracing.traceparent(headers.get("traceparent"))))
        self._tracing.tell(request=request_id)
        try:
            await self.app(scope, receive, noting_send)
        except asyncio.CancelledError:  # the server cancels requests in one case: the time to drain is over
            if status is not None:
                raise
            await response_to(Draining.cut_off("request"), request_id)(scope, receive, noting_send)
        except Exception:  # the service's edge: a bug costs one request, and the log has its trace
            log.exception("request %s met an error nobody expected", request_id)
            if status is not None:
                raise  # the answer has begun: all that is left is to break the connection
            await response_to(FoveaError("unexpected"), request_id)(scope, receive, noting_send)
        finally:
            telling.close()
            self._metrics.http_server_request_duration_seconds.labels(
                http_request_method=scope["method"] if scope["method"] in METHODS else "_OTHER",
                http_route=getattr(scope.get("route"), "path", ""),
                http_response_status_code="" if status is None else str(status),
            ).observe((time.monotonic() if ended_s is None else ended_s) - started_s, self._tracing.exemplar())
