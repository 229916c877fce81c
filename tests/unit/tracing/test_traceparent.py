"""Where work stands in a trace: kept for the task at hand, and only where it is well-formed."""

import asyncio

import pytest

from service.tracing.traceparent import current, trace_id, within
from service.tracing.tracing import Untraced

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_what_is_done_inside_belongs_to_the_trace_and_what_comes_after_does_not() -> None:
    with within(PARENT):
        assert (current(), trace_id()) == (PARENT, TRACE)
        with within(None):
            assert (current(), trace_id()) == ("", None)
        assert current() == PARENT
    assert (current(), trace_id()) == ("", None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"{PARENT}\r\nx: y",
    ],
)
def test_a_traceparent_that_the_standard_calls_invalid_names_no_trace(text: str) -> None:
    with within(text):
        assert (current(), trace_id()) == ("", None)


async def test_a_task_goes_on_in_the_trace_that_it_was_started_in() -> None:
    async def look() -> str:
        await asyncio.sleep(0)
        return current()

    with within(PARENT):
        task = asyncio.create_task(look())
    assert await task == PARENT


def test_where_nobody_is_told_a_trace_that_was_named_is_passed_on() -> None:
    tracing = Untraced()
    with tracing.span("job", parent=PARENT):
        assert current() == PARENT
        with tracing.span("decode"):
            assert current() == PARENT
        with tracing.span("window", parent=""):
            assert current() == ""
