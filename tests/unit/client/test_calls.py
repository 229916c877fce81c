"""What is sent: a subscription carries its own id, so that sending it again makes no second stream."""

import re

from ulid import ULID

from fovea.calls import new_stream_id, subscription
from fovea.stream_answers import STREAM_ID_PATTERN, NewStream

URL = "rtsp://camera/"


def test_an_id_is_a_ulid_of_now_and_no_two_are_equal() -> None:
    before_ms = ULID().milliseconds
    made = [new_stream_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(re.fullmatch(STREAM_ID_PATTERN, one) for one in made)
    assert 0 <= ULID.from_str(made[0].removeprefix("str_")).milliseconds - before_ms < 60_000


def test_a_subscription_is_the_same_however_often_it_is_sent() -> None:
    call = subscription(URL, {"window_s": 2.0})
    assert call.json is not None
    assert NewStream.model_validate(call.json).id == call.json["id"]
    other = subscription(URL, {"window_s": 2.0})
    assert other.json is not None
    assert other.json["id"] != call.json["id"]


def test_an_id_that_is_given_is_kept() -> None:
    chosen = new_stream_id()
    call = subscription(URL, {"id": chosen})
    assert call.json == {"id": chosen, "url": URL}
