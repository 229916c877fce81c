"""What a client may ask with is what the service takes, and what it sends is what was asked.

A subscription carries its own id, so that sending it again makes no second stream.
"""

import re
from typing import get_args, get_type_hints

import pytest
from ulid import ULID

from fovea import RecognitionOptions, StreamOptions
from fovea._calls import JSON, new_stream_id, recognition, subscription
from fovea.stream_answers import STREAM_ID_PATTERN, NewStream
from fovea.words import Decode, Emit
from service.api.recognitions.options import OPTIONS

URL = "rtsp://camera/"


def test_the_options_of_a_recognition_are_those_that_the_service_reads() -> None:
    assert set(RecognitionOptions.__annotations__) == set(OPTIONS)


def test_the_options_of_a_stream_are_those_that_the_service_reads() -> None:
    assert set(StreamOptions.__annotations__) == set(NewStream.model_fields) - {"url"}


@pytest.mark.parametrize(("option", "words"), [("on", Emit), ("decode", Decode)])
def test_a_word_may_be_given_as_text_or_as_the_enum(option: str, words: type[Emit | Decode]) -> None:
    enum, texts = get_args(get_type_hints(StreamOptions)[option])
    assert enum is words
    assert set(get_args(texts)) == {str(word) for word in words}


def test_an_option_that_is_none_is_not_sent() -> None:
    assert recognition(b"", {"top_k": 3, "model": None}, accept=JSON).query == {"top_k": "3"}  # type: ignore[typeddict-item]
    asked = subscription("rtsp://camera", {"window_s": 2.0, "task": None}).json  # type: ignore[typeddict-item]
    assert asked is not None
    assert set(asked) == {"id", "url", "window_s"}


def test_a_password_goes_into_the_body_and_never_into_the_address_asked() -> None:
    call = subscription("rtsp://user:secret@camera/", {})
    assert "secret" not in call.path
    assert not call.query


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
