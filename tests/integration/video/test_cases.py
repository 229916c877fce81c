"""Files that went wrong once, kept beside the checkout: each is right now, or refused for its true reason.

They are not part of the repository; without them this skips. Each holds frames that tell their number: eight stripes
over the upper three quarters are its bits, below them red on the left and blue on the right. Colours are bars.
Shape suffixes: H rows, W columns, C colour channels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fovea.errors import VideoError, VideoLimitExceeded, VideoUnreadable
from tests.integration.video.whole_decode import every_frame
from video.clip import Clip, ClipRule, VideoLimits
from video.file.decode import decode, plan_decoding

CASES = Path(__file__).resolve().parents[3].parent / "shared" / "cases"
LIMITS = VideoLimits(duration_s=600.0, frame_pixels=3840 * 2160, frames=36_000)
RATE = 25
BARS = [
    (235, 235, 235),
    (220, 220, 20),
    (20, 220, 220),
    (20, 200, 20),
    (220, 20, 220),
    (200, 30, 30),
    (30, 30, 200),
    (128, 128, 128),
]

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside this checkout")


def video(name: str) -> Path:
    return CASES / "video" / name


def sampled(name: str, num_frames: int = 16, size: tuple[int, int] = (128, 96)) -> Clip:
    return decode(str(video(name)), ClipRule(num_frames, size[1], size[0], "stretch"), LIMITS)


def number_of(frame_HWC: NDArray[np.uint8]) -> int:
    height, width, _ = frame_HWC.shape
    row_W = frame_HWC[height * 3 // 8 - 2 : height * 3 // 8 + 2].mean(axis=(0, 2))
    return sum(1 << bit for bit in range(8) if row_W[round((bit + 0.5) * width / 8)] > 128)


def numbers(clip: Clip) -> list[int]:
    return [number_of(frame_HWC) for frame_HWC in clip.frames_THWC]


def at_their_times(clip: Clip, first: int = 0) -> list[int]:
    return [(first + round(pts_s * RATE)) % 256 for pts_s in clip.pts_s]


@pytest.mark.parametrize("num_frames", [1, 3, 8, 16])
@pytest.mark.parametrize(
    ("name", "duration_s", "first"),
    [
        ("allkey_msmpeg4.avi", 4.0, 0),
        ("allkey_msmpeg4v2.avi", 4.0, 0),
        ("avi_cut_no_index_msmpeg4.avi", 2.56, 0),
        ("nostss_mpeg4.mp4", 4.0, 0),
        ("nostss_h264.mp4", 4.0, 0),
        ("open_gop.mp4", 4.0, 0),
        ("editlist_trim.mp4", 0.4, 68),
        ("mp4_copied_to_avi.avi", 4.0, 0),
        ("cat_two.ts", 8.0, 0),
        ("cat_two.webm", 8.0, 0),
        ("ts_jump_1h.ts", 8.0, 0),
        ("ts_jump_30s.ts", 8.0, 0),
        ("ts_starts_at_1h.ts", 4.0, 0),
        ("ts_begins_mid_gop.ts", 4.0, 100),
        ("mkv_starts_at_1h.mkv", 4.0, 0),
        ("sound_700s.mkv", 4.0, 0),
        ("webm_duration_2h.webm", 4.0, 0),
        ("mvhd_2h22.mp4", 4.0, 0),
        ("live_no_duration.webm", 4.0, 0),
        ("thumbnail_stream_first.mp4", 4.0, 0),
        ("mp4_four_empty_samples.mp4", 3.84, 0),
        ("mjpeg_one_zeroed.avi", 4.0, 0),
        ("fmp4_cut_in_last_fragment.mp4", 3.4, 0),
    ],
)
def test_each_frame_is_the_one_of_its_time(name: str, duration_s: float, first: int, num_frames: int) -> None:
    clip = sampled(name, num_frames)
    if name == "ts_begins_mid_gop.ts":  # ten frames a second
        assert numbers(clip) == [first + round(pts_s * 10) for pts_s in clip.pts_s]
        return
    assert numbers(clip) == at_their_times(clip, first)
    assert clip.info.duration_s == pytest.approx(duration_s, abs=0.03)


@pytest.mark.parametrize("num_frames", [2, 5, 8, 16])
@pytest.mark.parametrize("name", ["mp4_two_sample_descriptions.mp4", "flv_midstream_header.flv"])
def test_where_parameter_sets_change_the_pixels_are_those_of_a_full_decode(name: str, num_frames: int) -> None:
    every = every_frame(video(name))
    clip = decode(str(video(name)), ClipRule(num_frames, 96, 128, "stretch"), LIMITS)
    for pts_s, frame_HWC in zip(clip.pts_s, clip.frames_THWC, strict=True):
        np.testing.assert_array_equal(frame_HWC, every[round(pts_s * RATE)])


def test_a_still_screen_is_shown_until_the_next_picture_comes() -> None:
    clip = sampled("screen_still_then_burst.mp4")
    centres_s = [(place + 0.5) * clip.info.duration_s / 16 for place in range(16)]
    assert numbers(clip) == [
        max(0, 1 + int((centre_s - 9.04 + 0.02) * RATE)) if centre_s > 9.02 else 0 for centre_s in centres_s
    ]


@pytest.mark.parametrize(
    ("name", "damaged", "missing", "breaks"),
    [
        ("mp4_four_empty_samples.mp4", 0, 4, 0),
        ("mjpeg_one_zeroed.avi", 1, 0, 0),
        ("fmp4_cut_in_last_fragment.mp4", 0, 15, 0),
        ("cat_two.ts", 0, 0, 1),
        ("ts_jump_1h.ts", 0, 0, 1),
        ("thumbnail_stream_first.mp4", 0, 0, 0),
    ],
)
@pytest.mark.parametrize("num_frames", [8, 16])
def test_what_is_lost_is_told(name: str, damaged: int, missing: int, breaks: int, num_frames: int) -> None:
    info = sampled(name, num_frames).info
    assert (info.frames_damaged, info.frames_missing, info.clock_breaks) == (damaged, missing, breaks)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("encrypted.mp4", "encrypted"),
        ("still.avif", "a picture"),
        ("still.heic", "a picture"),
        ("still.jpg", "a picture"),
        ("animation.gif", "a picture"),
    ],
)
def test_what_is_no_video_to_us_is_refused_for_its_true_reason(name: str, words: str) -> None:
    with pytest.raises(VideoUnreadable, match=words):
        sampled(name)


def bars_of(name: str) -> NDArray[np.float64]:
    frame_HWC = sampled(name, 2, (320, 120)).frames_THWC[0]
    return np.array([frame_HWC[30:60, 40 * place + 12 : 40 * place + 28].mean(axis=(0, 1)) for place in range(8)])


@pytest.mark.parametrize("name", ["untagged_1280x544.mp4", "ycgco.mp4", "full_range_709.mp4"])
def test_colours_are_as_they_were_made(name: str) -> None:
    np.testing.assert_allclose(bars_of(name), BARS, atol=8)


def test_hdr_is_shown_as_players_show_it() -> None:
    # two dark channels lie outside of the gamut as coded
    difference = np.abs(bars_of("hdr_pq.mp4") - BARS)
    difference[2, 0] = difference[3, 0] = 0
    assert difference.max() <= 12


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("rotated_r90.mp4", (192, 320)),
        ("rotated_r180.mp4", (320, 192)),
        ("rotated_r270.mp4", (192, 320)),
        ("rotated_by_sei.ts", (192, 320)),
    ],
)
@pytest.mark.parametrize("num_frames", [1, 4, 16])
def test_a_turned_video_is_turned_whole(name: str, size: tuple[int, int], num_frames: int) -> None:
    clip = sampled(name, num_frames, size)
    assert (clip.info.width_px, clip.info.height_px) == size
    upright = clip.frames_THWC
    assert len({tuple(corner_colours(frame_HWC)) for frame_HWC in upright}) == 1


def corner_colours(frame_HWC: NDArray[np.uint8]) -> Sequence[int]:
    """The strongest channel in each corner: the same for all frames of a video that is turned alike."""
    height, width, _ = frame_HWC.shape
    places = [(y, x) for y in (height // 16, height - height // 16 - 1) for x in (width // 16, width - width // 16 - 1)]
    return [int(frame_HWC[y, x].argmax()) if np.ptp(frame_HWC[y, x]) > 60 else 3 for y, x in places]


def test_thirty_million_claimed_samples_are_refused() -> None:
    with pytest.raises(VideoLimitExceeded, match="30000000"):
        decode(str(CASES / "hostile" / "mem_stsz_41KB.mp4"), ClipRule(8, 96, 96, "stretch"), LIMITS)


def test_a_bomb_has_its_price_before_it_is_decoded() -> None:
    plan = plan_decoding(str(CASES / "hostile" / "bomb4k.mp4"), ClipRule(16, 96, 96, "stretch"), LIMITS)
    assert plan.price.frames > 1_500
    assert plan.price.pixels == plan.price.frames * 3840 * 2160


def test_whatever_libav_says_of_damage_is_an_error_of_the_video() -> None:
    found = sorted((CASES / "hostile").glob("*.wmv"))
    assert found
    for path in found:
        with pytest.raises(VideoError):
            decode(str(path), ClipRule(8, 96, 96, "stretch"), LIMITS)
