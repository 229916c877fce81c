"""How the log is written: lines for people, or a JSON object a line. Knows no route and no model.

Whatever is logged while a request is answered carries its id, and the trace that a proxy or a client named
(`traceparent`, W3C Trace Context): `told_of` sets both for the task that answers.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
_key: ContextVar[str | None] = ContextVar("key", default=None)


@contextmanager
def told_of(request_id: str, traceparent: str | None) -> Iterator[None]:
    """What is logged inside belongs to this request. A `traceparent` that is not well-formed names no trace."""
    found = TRACEPARENT.fullmatch(traceparent or "")
    request, trace = _request_id.set(request_id), _trace_id.set(found["trace"] if found else None)
    try:
        yield
    finally:
        _request_id.reset(request)
        _trace_id.reset(trace)


@contextmanager
def asked_with(key: str) -> Iterator[None]:
    """What is logged inside was asked for with the key of that name; the key itself is never told."""
    before = _key.set(key)
    try:
        yield
    finally:
        _key.reset(before)


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message; request, trace and key's name where there are any; an error's
    trace."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": _request_id.get(),
            "trace_id": _trace_id.get(),
            "key": _key.get(),
            "error": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in told.items() if value is not None}, ensure_ascii=False)


def install(log_format: str) -> None:
    """Log to standard error from now on: `text` or `json`."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else logging.Formatter(LINE))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
