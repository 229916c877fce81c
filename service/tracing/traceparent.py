"""Where the work at hand stands in a trace, as W3C Trace Context writes it: `traceparent`. Knows no request.

It is kept for the task at hand, and goes with the tasks that it starts.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

WELL_FORMED = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")

_current: ContextVar[str] = ContextVar("traceparent", default="")


@contextmanager
def within(traceparent: str | None) -> Iterator[None]:
    """What is done inside belongs there. One that is not well-formed names no trace."""
    before = _current.set(traceparent if traceparent and WELL_FORMED.fullmatch(traceparent) else "")
    try:
        yield
    finally:
        _current.reset(before)


def current() -> str:
    """Empty where there is no trace."""
    return _current.get()


def trace_id() -> str | None:
    """Of the current trace; 32 hexadecimal digits."""
    found = WELL_FORMED.fullmatch(_current.get())
    return None if found is None else found["trace"]
