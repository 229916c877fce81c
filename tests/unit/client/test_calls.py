"""What a client may ask with is what the service takes, and what it sends is what was asked."""

from typing import get_args, get_type_hints

import pytest

from fovea import RecognitionOptions, StreamOptions
from fovea._calls import JSON, recognition, subscription
from fovea.stream_answers import NewStream
from fovea.words import Decode, Emit
from service.api.recognitions.options import OPTIONS


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
    assert asked == {"url": "rtsp://camera", "window_s": 2.0}


def test_a_password_goes_into_the_body_and_never_into_the_address_asked() -> None:
    call = subscription("rtsp://user:secret@camera/", {})
    assert "secret" not in call.path
    assert not call.query
