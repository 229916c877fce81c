"""Where a follower stands: after the last event that it handed on, whatever happened to the connection."""

import json

import pytest
from httpx_sse import ServerSentEvent

from fovea._resume import BEFORE_ALL, MAX_WAIT_S, Resume
from fovea.errors import NotReady, ServiceLost

LOST = ServiceLost("gone")
STATE = {
    "stream": "str_1", "state": "live", "since": "2026-11-25T02:00:00Z", "error": None, "epoch": 1, "decode": "all",
    "video": None,
}  # fmt: skip


def state(event_id: str | None, **changes: object) -> ServerSentEvent:
    return ServerSentEvent(event="state", id=event_id, data=json.dumps(STATE | changes))


def resume(last_event_id: str | None = None, reconnect_for_s: float = 60.0) -> Resume:
    return Resume("str_1", "http://service", last_event_id, reconnect_for_s)


def test_a_first_connection_asks_for_no_event_and_a_resumed_one_for_all_after_the_last() -> None:
    following = resume()
    assert "Last-Event-ID" not in following.call().headers
    for event_id in ("7-0", "7-1"):
        event = following.read(state(event_id))
        assert event is not None
        assert event.id == event_id
    following.wait_s(LOST)
    assert following.call().headers["Last-Event-ID"] == "7-1"


def test_a_given_id_is_resumed_after_from_the_first() -> None:
    following = resume("5-0")
    assert not following.needs_start
    assert following.call().headers["Last-Event-ID"] == "5-0"


@pytest.mark.parametrize(("newest", "asked"), [("9-3", "9-3"), (None, BEFORE_ALL)])
def test_an_interruption_before_the_first_id_resumes_from_where_the_stream_stood(
    newest: str | None, asked: str
) -> None:
    following = resume()
    assert following.needs_start
    following.begin(type("Stream", (), {"last_event_id": newest})())
    assert "Last-Event-ID" not in following.call().headers, "the present state is wanted first"
    following.read(state(None))  # which has no id
    following.wait_s(LOST)
    assert following.call().headers["Last-Event-ID"] == asked


def test_waits_grow_to_a_bound_and_begin_anew_once_something_is_heard() -> None:
    following = resume()
    waits_s = [following.wait_s(LOST) for _ in range(12)]
    assert waits_s[0] <= 0.25
    assert all(wait_s <= MAX_WAIT_S for wait_s in waits_s)
    assert waits_s[-1] >= MAX_WAIT_S / 2
    following.read(state("1-0"))
    assert following.wait_s(LOST) <= 0.25


def test_a_service_that_says_when_is_not_asked_before() -> None:
    assert resume().wait_s(NotReady("loading", retry_after_s=2)) >= 2


def test_after_too_long_without_a_word_the_last_error_is_raised() -> None:
    with pytest.raises(ServiceLost, match="gone"):
        resume(reconnect_for_s=-1).wait_s(LOST)


def test_a_gap_has_no_id_and_moves_nothing() -> None:
    """Whoever is interrupted after it asks from the same event again, and is told of the gap again."""
    following = resume("5-0")
    data = json.dumps({"stream": "str_1", "after": "5-0", "before": "9-0"})
    gap = following.read(ServerSentEvent(event="gap", id="5-0", data=data))  # the id of the event before, as SSE has it
    assert gap is not None
    assert (gap.id, gap.name, gap.is_last) == (None, "gap", False)
    following.wait_s(LOST)
    assert following.call().headers["Last-Event-ID"] == "5-0"


def test_deleted_is_the_last_event_and_an_unknown_kind_is_passed_over() -> None:
    following = resume()
    assert following.read(ServerSentEvent(event="weather", id="1-0", data="{}")) is None
    live, deleted = following.read(state("2-0")), following.read(state("3-0", state="deleted"))
    assert live is not None
    assert deleted is not None
    assert [live.is_last, deleted.is_last] == [False, True]


def test_a_stream_s_name_cannot_lead_elsewhere() -> None:
    assert Resume("../models?x", "http://service", None, 1).call().path == "/v1/streams/..%2Fmodels%3Fx/events"
