"""How the log is written: lines for people, or a JSON object a line. Knows no route and no model.

Whatever is logged while a request is answered carries its id, and the trace that it belongs to: one of ours, or the one
that a proxy or a client named (`traceparent`, W3C Trace Context). `told_of` sets both for the task that answers.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from service.tracing.traceparent import trace_id, within

LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_key: ContextVar[str | None] = ContextVar("key", default=None)


@contextmanager
def told_of(request_id: str, traceparent: str | None) -> Iterator[None]:
    """What is logged inside belongs to this request. A `traceparent` that is not well-formed names no trace."""
    request = _request_id.set(request_id)
    try:
        with within(traceparent):
            yield
    finally:
        _request_id.reset(request)


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
            "trace_id": trace_id(),
            "key": _key.get(),
            "error": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in told.items() if value is not None}, ensure_ascii=False)


class Lines(logging.Formatter):
    """A line for people; the trace at its end, where there is one."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        trace = trace_id()
        return super().formatMessage(record) + ("" if trace is None else f" trace={trace}")


def install(log_format: str) -> None:
    """Log to standard error from now on: `text` or `json`."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else Lines(LINE))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
