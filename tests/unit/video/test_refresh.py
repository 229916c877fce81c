"""When pictures are true though no keyframe came: a refresh has gone over all of them."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from tests.clips import noise
from tests.faulty_camera import Picture, encoded, parameters, without_keyframes
from video.camera.blind import MAX_BLIND_S, Blind
from video.camera.live import CameraLost
from video.clip import VideoLimits

LIMITS = VideoLimits(600.0, 3840 * 2160, 36_000)
FPS = 10
REFRESH = 20  # pictures that a sweep takes


def slow_noise(number: int, width: int, height: int) -> NDArray[np.uint8]:
    return noise(number // 8, width, height)


def decoder(pictures: list[Picture]) -> VideoCodecContext:
    context = av.CodecContext.create("h264", "r")
    assert isinstance(context, VideoCodecContext)
    context.extradata = b"".join(b"\0\0\0\1" + one for one in parameters(pictures))
    context.thread_count = 1
    return context


def packet(picture: Picture, number: int, *, is_keyframe: bool) -> av.Packet:
    made = av.Packet(b"".join(b"\0\0\0\1" + unit for unit in picture))
    made.pts, made.time_base, made.is_keyframe = number, Fraction(1, FPS), is_keyframe
    return made


def looked_for(pictures: list[Picture], start: int) -> tuple[int, float]:
    """Joined at picture `start`: the first that is taken for true, and how far it is from the truth (mean, of 255)."""
    truth = [
        frame.to_ndarray(format="gray").astype(int)
        for context in [decoder(pictures)]
        for number, picture in enumerate(pictures)
        for frame in context.decode(packet(picture, number, is_keyframe=number == 0))
    ]
    context = decoder(pictures)
    blind = Blind(context, LIMITS, 0.0)
    for number, picture in enumerate(pictures[start:], start):
        is_keyframe = any(unit[0] & 31 == 5 for unit in picture)
        one = packet(picture, number, is_keyframe=is_keyframe)
        frames = blind.true_frames(one, context.decode(one), number / FPS)
        if frames:
            assert frames[0].pts == number
            return number, float(np.abs(frames[0].to_ndarray(format="gray") - truth[number]).mean())
    raise AssertionError("no picture was taken for true")


@pytest.mark.parametrize("start", [3, 17, 31, 55])
def test_pictures_are_true_after_the_refresh_went_over_all_of_them(start: int) -> None:
    pictures = encoded(pictures=120, gop=REFRESH, pattern=slow_noise, **{"intra-refresh": "1"})
    first = pictures[0]
    number, error = looked_for([first, *without_keyframes(pictures[1:])], start)
    assert number - start <= 3 * REFRESH
    assert error < 0.01


@pytest.mark.parametrize("start", [3, 31])
def test_before_a_keyframe_nothing_is_true_however_long_it_takes(start: int) -> None:
    pictures = encoded(pictures=120, gop=100, pattern=slow_noise)
    number, error = looked_for(pictures, start)
    assert (number, error) == (100, 0.0)


def test_what_decodes_after_longer_than_any_wait_is_taken() -> None:
    pictures = encoded(pictures=12, gop=100)
    context = decoder(pictures)
    blind = Blind(context, LIMITS, 0.0)
    for number, picture in enumerate(pictures[2:]):
        one = packet(picture, number, is_keyframe=False)
        late_s = MAX_BLIND_S + 1 if number == 9 else 1.0
        assert bool(blind.true_frames(one, context.decode(one), late_s)) == (number == 9)
    assert blind.needs_faith


def test_waiting_ends_where_nothing_decodes_at_all() -> None:
    blind = Blind(decoder(encoded(pictures=2)), LIMITS, 0.0)
    blind.check(MAX_BLIND_S + 1)
    with pytest.raises(CameraLost, match="nothing could be decoded for 96 s"):
        blind.check(MAX_BLIND_S + 31)
