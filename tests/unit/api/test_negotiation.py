"""Which representation an Accept header gets."""

import pytest

from fovea.errors import NotAcceptable
from service.api.edge.negotiation import preferred

JSON, EVENTS = "application/json", "text/event-stream"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/event-stream", EVENTS),
        ("TEXT/Event-Stream", EVENTS),
        ("text/*", EVENTS),
        ("text/event-stream, application/json", JSON),  # no preference: the first offered
        ("text/event-stream, application/json;q=0.9", EVENTS),
        ("application/json;q=0, */*", EVENTS),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("text/event-stream;q=0.5;charset=utf-8, */*;q=0.1", EVENTS),
    ],
)
def test_the_client_s_preference_decides(accept: str | None, chosen: str) -> None:
    assert preferred(accept, (JSON, EVENTS)) == chosen


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0", "*/*;q=0", "application/json;q=high", ";"])
def test_nothing_acceptable_is_refused_with_what_there_is(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="accept application/json or text/event-stream"):
        preferred(accept, (JSON, EVENTS))
