"""What crosses of an upload that still arrives comes out as it went in, and nonsense is noticed."""

import numpy as np
import pytest

from video.children import early_wire as wire
from video.children import messages
from video.clip import ClipRule, EarlyFrames, FirstLook, Look, VideoLimits

RULE = ClipRule(num_frames=2, height_px=4, width_px=6, resize="stretch")
LIMITS = VideoLimits(duration_s=10.0, frame_pixels=1000, frames=100)


def early() -> EarlyFrames:
    rng = np.random.default_rng(0)
    return EarlyFrames(
        packets=(3, 17),
        digests=("ab", "cd"),
        frames_NHWC=rng.integers(0, 256, (2, 4, 6, 3), dtype=np.uint8),
        view_NB=rng.random((2, 4), dtype=np.float32),
        displayed=((64, 48), (48, 64)),
        num_decoded=9,
        busy_s=0.125,
    )


def through(header: messages.Header) -> messages.Header:
    return messages.unpack(messages.pack(header)[messages.LENGTH.size :])


@pytest.mark.parametrize("look", [None, FirstLook((0, 1), 0.5), FirstLook((0,), 0.0, (1,))], ids=repr)
def test_what_is_to_be_followed_arrives_as_it_was_sent(look: Look) -> None:
    sent = through(wire.follow("/tmp/a b.mp4", RULE, LIMITS, look, 1000, 10**9))
    assert wire.read_follow(sent) == ("/tmp/a b.mp4", RULE, LIMITS, look, 1000, 10**9, None)


def test_early_frames_arrive_bit_for_bit() -> None:
    sent = early()
    header, payload = wire.early(sent)
    assert len(payload) == wire.payload_bytes(header, RULE)
    received = wire.read_early(through(header), bytearray(payload), RULE)
    assert received is not None
    np.testing.assert_array_equal(received.frames_NHWC, sent.frames_NHWC)
    np.testing.assert_array_equal(received.view_NB, sent.view_NB)
    assert (received.packets, received.digests, received.displayed) == (sent.packets, sent.digests, sent.displayed)
    assert (received.num_decoded, received.busy_s) == (9, 0.125)


def test_none_are_none() -> None:
    header, payload = wire.early(None)
    assert wire.payload_bytes(header, RULE) == len(payload) == 0
    assert wire.read_early(through(header), payload, RULE) is None


@pytest.mark.parametrize("said", [[[1, "a"]], [["x", "a", 1, 2]], 9 * [[1, "a", 2, 3]], 7, None], ids=repr)
def test_frames_that_cannot_be_are_refused(said: object) -> None:
    header = {"early": said, "num_decoded": 0, "busy_s": 0.0}
    with pytest.raises((ValueError, TypeError)):
        wire.read_early(header, bytes(wire.payload_bytes(header, RULE)), RULE)


def test_what_is_told_of_bytes_is_late_for_a_child_that_follows_nothing() -> None:
    assert all(wire.is_late(header) for header in (wire.arrived(3), wire.ENDED, wire.OVER))
    assert not wire.is_late(wire.follow("a", RULE, LIMITS, None, 0, 0))
