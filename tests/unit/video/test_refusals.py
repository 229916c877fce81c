"""What a camera's refusal means to whoever reads the stream's state."""

import pytest

from fovea.words import ErrorClass
from video.camera.refusals import Refusal, meaning_of


@pytest.mark.parametrize(
    ("status", "error_class", "word"),
    [
        (400, ErrorClass.PROTOCOL, "malformed"),
        (401, ErrorClass.AUTH, "password"),
        (403, ErrorClass.AUTH, "this user"),
        (404, ErrorClass.NOT_FOUND, "no stream at this path"),
        (453, ErrorClass.BUSY, "bandwidth"),
        (454, ErrorClass.PROTOCOL, "session"),
        (461, ErrorClass.PROTOCOL, "the other transport"),
        (500, ErrorClass.PROTOCOL, "failed inside"),
        (503, ErrorClass.BUSY, "overloaded"),
        (499, ErrorClass.PROTOCOL, "refuses the request"),
        (599, ErrorClass.PROTOCOL, "cannot do what was asked"),
    ],
)
def test_a_refusal_is_told_in_words_with_its_number_and_what_was_asked(
    status: int, error_class: ErrorClass, word: str
) -> None:
    found, words = meaning_of(Refusal("PLAY", status))
    assert found is error_class
    assert word in words
    assert words.endswith(f"({status} to PLAY)")
    assert words.format(host="camera", transport="udp").startswith("camera ")
