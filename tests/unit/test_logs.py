"""The log as JSON: one object a line, with the request and the trace it belongs to."""

import json
import logging

import pytest

from service.logs import JsonLines, told_of

TRACE = "0af7651916cd43dd8448eb211c80319c"


def line(message: str = "said %s", *arguments: object, **extra: object) -> dict[str, str]:
    record = logging.LogRecord("service.x", logging.WARNING, __file__, 1, message, arguments or ("it",), None)
    record.__dict__.update(extra)
    text = JsonLines().format(record)
    assert "\n" not in text
    read: dict[str, str] = json.loads(text)
    return read


def test_a_line_holds_time_level_logger_and_message() -> None:
    said = line("two\nlines of %s", "é")
    assert (said["level"], said["logger"], said["message"]) == ("WARNING", "service.x", "two\nlines of é")
    assert said["time"].endswith("+00:00")
    assert "request_id" not in said


def test_inside_a_request_it_names_the_request_and_the_trace() -> None:
    with told_of("req_1", f"00-{TRACE}-b7ad6b7169203331-01"):
        assert (line()["request_id"], line()["trace_id"]) == ("req_1", TRACE)
    assert "request_id" not in line()


@pytest.mark.parametrize("traceparent", [None, "", "00-short-b7ad6b7169203331-01", f"00-{TRACE}-b7-01"])
def test_a_trace_that_is_none_is_left_out(traceparent: str | None) -> None:
    with told_of("req_1", traceparent):
        assert "trace_id" not in line()


def test_an_error_brings_its_trace() -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError as error:
        said = line(exc_info=(RuntimeError, error, error.__traceback__))
    assert "RuntimeError: broken" in said["error"]
