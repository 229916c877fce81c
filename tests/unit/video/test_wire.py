"""What crosses between the service and a decoding process comes out as it went in, and nonsense is noticed."""

from dataclasses import replace

import numpy as np
import pytest

from fovea.errors import DecodeCrashed, NoVideoStream, VideoError, VideoLimitExceeded
from video.children import file_wire as wire
from video.children import messages
from video.clip import Clip, ClipRule, FirstLook, FurtherLook, Look, VideoInfo, VideoLimits

RULE = ClipRule(num_frames=2, height_px=4, width_px=6, resize="stretch", source_short_side_px=160)
LIMITS = VideoLimits(duration_s=10.0, frame_pixels=1000, frames=100)


def clip() -> Clip:
    rng = np.random.default_rng(0)
    return Clip(
        frames_THWC=rng.integers(0, 256, (2, 4, 6, 3), dtype=np.uint8),
        pts_s=(0.1, 1 / 3),
        view_TB=rng.random((2, 4), dtype=np.float32),
        info=VideoInfo(1.0, 64, 48, "h264", 5, 2),
    )


def through(header: messages.Header) -> messages.Header:
    return messages.unpack(messages.pack(header)[messages.LENGTH.size :])


@pytest.mark.parametrize(
    "look",
    [
        None,
        FirstLook((0, 1), 0.5),
        FirstLook((0,), 0.0, (1,)),
        FirstLook((0,), 0.6, (1,), True),
        FirstLook((0,), 0.6, (1,), True, True),
        FurtherLook((1,), (0,)),
        FurtherLook((1,), (0,), True),
    ],
    ids=repr,
)
def test_a_request_arrives_as_it_was_sent(look: Look) -> None:
    sent = wire.request("/tmp/a b.mp4", RULE, LIMITS, look)
    assert wire.read_request(through(sent)) == ("/tmp/a b.mp4", RULE, LIMITS, look)


def test_a_clip_arrives_bit_for_bit() -> None:
    sent = clip()
    header, payload = wire.answer(sent)
    assert len(payload) == wire.payload_bytes(header, RULE)
    received = wire.read_answer(through(header), bytearray(payload), RULE)
    np.testing.assert_array_equal(received.frames_THWC, sent.frames_THWC)
    np.testing.assert_array_equal(received.view_TB, sent.view_TB)
    assert (received.pts_s, received.info) == (sent.pts_s, sent.info)


def test_of_a_clip_that_was_begun_only_the_frames_that_are_there_are_sent() -> None:
    sent = replace(clip(), absent=frozenset({0}), stand_ins=frozenset({1}))
    header, payload = wire.answer(sent)
    assert len(payload) == wire.payload_bytes(header, RULE) == 4 * 6 * 3 + 2 * 4 * 4
    received = wire.read_answer(through(header), bytearray(payload), RULE)
    np.testing.assert_array_equal(received.frames_THWC[1], sent.frames_THWC[1])
    assert not received.frames_THWC[0].any()
    assert received.frames_THWC.flags.writeable
    assert (received.absent, received.stand_ins, received.pts_s) == (sent.absent, sent.stand_ins, sent.pts_s)


@pytest.mark.parametrize("absent", [[2], [-1], [0, 0], [0, 1], [True], ["0"], None, 0], ids=repr)
def test_places_that_cannot_be_are_refused_before_a_byte_is_read(absent: object) -> None:
    header, _ = wire.answer(clip())
    header["absent"] = absent
    with pytest.raises(ValueError, match=r"places|repeat"):
        wire.payload_bytes(header, RULE)


def test_a_received_clip_may_be_written_to_as_torch_asks() -> None:
    header, payload = wire.answer(clip())
    assert wire.read_answer(header, bytearray(payload), RULE).frames_THWC.flags.writeable


@pytest.mark.parametrize("error", [NoVideoStream("sound only"), VideoLimitExceeded("too long", limit_s=10)])
def test_an_error_arrives_as_it_was_raised(error: VideoError) -> None:
    received = wire.read_failure(through(wire.failure(error)))
    assert type(received) is type(error)
    assert (received.detail, received.extra) == (error.detail, error.extra)


def test_an_error_of_a_kind_that_no_child_raises_is_a_crash() -> None:
    assert isinstance(wire.read_failure({"error": "overloaded", "detail": "x"}), DecodeCrashed)


@pytest.mark.parametrize("text", [b"[]", b"null", b"{", b"\xff"])
def test_what_is_no_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  its kin: of json and of decoding
        messages.unpack(text)


def test_an_answer_with_too_few_times_is_refused() -> None:
    header, payload = wire.answer(clip())
    header["pts_s"] = [0.0]
    with pytest.raises(ValueError, match="1 times for 2 frames"):
        wire.read_answer(header, bytearray(payload), RULE)


@pytest.mark.parametrize(
    ("fact", "nonsense"), [("codec", 7), ("duration_s", "1"), ("width_px", 64.5), ("frames_decoded", True)]
)
def test_facts_of_another_type_are_refused(fact: str, nonsense: object) -> None:
    header, payload = wire.answer(clip())
    header["info"][fact] = nonsense
    with pytest.raises(TypeError, match=fact):
        wire.read_answer(through(header), bytearray(payload), RULE)
