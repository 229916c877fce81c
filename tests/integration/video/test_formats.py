"""The format matrix: what a camera, a phone, a browser or an archive may send, each as a real encoded file.

All of it is made by the encoders that PyAV carries: no system program is needed.
"""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.clips import Frozen, cached_clip, frozen, moving_square, noise, read_number
from video.clip import Clip, ClipRule, VideoLimits
from video.file.decode import decode
from video.file.picture import Painter

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)
OPEN_GOP = "keyint=12:scenecut=0:bframes=3:open-gop=1"
IRREGULAR_S = tuple(round(float(time), 3) for time in np.cumsum([0.0] + [0.04, 0.04, 0.2, 0.01, 0.5] * 9))
FRAGMENTED = frozen(movflags="frag_keyframe+empty_moov")

# file name -> how it is encoded. 2 s at 25 frames per second, 320 x 240, 4:2:0 in 8 bits unless said otherwise.
FORMATS: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264-moov-first.mp4": {"container_options": frozen(movflags="faststart")},
    "h264-fragmented.mp4": {"container_options": FRAGMENTED},
    "h264-with-sound.mp4": {"with_audio": True},
    "h264.mkv": {},
    "h264.ts": {},
    "h264.flv": {},
    "h264.avi": {},
    "h264-b-pyramid.mkv": {"gop": 48, "options": Frozen([("x264-params", "bframes=5:b-pyramid=normal")])},
    "h264-open-gop.mp4": {"options": Frozen([("x264-params", OPEN_GOP)])},
    "h264-open-gop.ts": {"options": Frozen([("x264-params", OPEN_GOP)])},
    "h264-intra-refresh.ts": {"options": Frozen([("x264-params", "intra-refresh=1:keyint=12")])},
    "h264-10-bit.mp4": {"pix_fmt": "yuv420p10le"},
    "h264-444.mp4": {"pix_fmt": "yuv444p"},
    "h264-422-10-bit.mkv": {"pix_fmt": "yuv422p10le"},
    "h264-grey.mp4": {"pix_fmt": "gray"},
    "h264-full-range.mp4": {"pix_fmt": "yuvj420p"},
    "h264-odd-size.mp4": {"pix_fmt": "yuv444p", "size": (321, 241)},
    "h264-interlaced.mp4": {"options": Frozen([("flags", "+ildct+ilme"), ("x264-params", "tff=1")])},
    "h264-irregular.mp4": {"times_s": IRREGULAR_S},
    "h264-irregular.mkv": {"times_s": IRREGULAR_S},
    "h264-irregular.ts": {"times_s": IRREGULAR_S},
    "h264-one-frame.mp4": {"seconds": 0.04},
    "h264-one-frame.ts": {"seconds": 0.04},
    "h264-three-frames.avi": {"seconds": 0.12},
    "h264-rgb.mkv": {"codec": "libx264rgb", "pix_fmt": "rgb24"},
    "hevc.mp4": {"codec": "libx265", "options": Frozen([("x265-params", "log-level=none")])},
    "hevc-10-bit.mkv": {
        "codec": "libx265",
        "pix_fmt": "yuv420p10le",
        "options": Frozen([("x265-params", "log-level=none")]),
    },
    "hevc-open-gop.ts": {
        "codec": "libx265",
        "options": Frozen([("x265-params", "keyint=12:open-gop=1:bframes=4:log-level=none")]),
    },
    "vp8.webm": {"codec": "libvpx"},
    "vp8-hidden-frames.webm": {
        "codec": "libvpx",
        "gop": 100,
        "options": frozen(auto_alt_ref="1", lag_in_frames="16", arnr_maxframes="5"),
    },
    "vp8-two-frames.webm": {"codec": "libvpx", "seconds": 0.08},
    "vp8.ogv": {"codec": "libvpx", "container": "ogg"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "vp9-hidden-frames.webm": {
        "codec": "libvpx-vp9",
        "gop": 100,
        "options": frozen(auto_alt_ref="1", lag_in_frames="16"),
    },
    "vp9-odd-size.webm": {"codec": "libvpx-vp9", "size": (321, 241)},
    "vp9-alpha.webm": {"codec": "libvpx-vp9", "pix_fmt": "yuva420p"},
    "av1.mp4": {"codec": "libsvtav1"},
    "av1.mkv": {"codec": "libsvtav1", "gop": 30},
    "mpeg1.mpg": {"codec": "mpeg1video", "options": frozen(bf="2")},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": frozen(bf="2")},
    "mpeg2-interlaced.ts": {"codec": "mpeg2video", "options": Frozen([("flags", "+ildct+ilme")])},
    "mpeg4.mp4": {"codec": "mpeg4", "options": frozen(bf="2")},
    "mpeg4.avi": {"codec": "mpeg4", "options": frozen(bf="2")},
    "mpeg4-odd-size.mp4": {"codec": "mpeg4", "size": (321, 241)},
    "msmpeg4.avi": {"codec": "msmpeg4"},
    "h263.3gp": {"codec": "h263", "size": (352, 288)},
    "flv1.flv": {"codec": "flv"},
    "wmv1.wmv": {"codec": "wmv1"},
    "wmv2.asf": {"codec": "wmv2"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj422p"},
    "prores-422-10-bit.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "prores-alpha.mov": {
        "codec": "prores_ks",
        "pix_fmt": "yuva444p10le",
        "options": Frozen([("profile", "4444")]),
    },
    "dnxhd.mov": {
        "codec": "dnxhd",
        "pix_fmt": "yuv422p",
        "size": (1280, 720),
        "seconds": 0.4,
        "options": frozen(b="60M"),
    },
    "ffv1-odd-size.mkv": {"codec": "ffv1", "size": (321, 241)},
}


def rule(num_frames: int) -> ClipRule:
    return ClipRule(num_frames=num_frames, height_px=96, width_px=128, resize="letterbox")


def numbers(clip: Clip) -> list[int]:
    return [read_number(frame, view) for frame, view in zip(clip.frames_THWC, clip.view_TB, strict=True)]


def shown_s(how: dict[str, Any]) -> list[float]:
    """When each frame of a file was to be shown, from its first."""
    times = how.get("times_s")
    if times is not None:
        return [time - times[0] for time in times]
    return [number / 25 for number in range(max(1, round(how.get("seconds", 2.0) * 25)))]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("num_frames", [1, 3, 8])
def test_each_frame_is_the_one_shown_at_its_time(name: str, num_frames: int) -> None:
    clip = decode(str(cached_clip(name, pattern=moving_square, **FORMATS[name])), rule(num_frames), LIMITS)
    times = shown_s(FORMATS[name])
    assert clip.frames_THWC.shape == (num_frames, 96, 128, 3)
    for number, pts_s in zip(numbers(clip), clip.pts_s, strict=True):
        assert pts_s == pytest.approx(times[number], abs=0.002)


@pytest.mark.parametrize("name", FORMATS)
def test_frames_are_those_shown_at_the_centres_of_equal_segments_or_nearer_by_half_a_frame(name: str) -> None:
    path = str(cached_clip(name, pattern=moving_square, **FORMATS[name]))
    clip = decode(path, rule(16), LIMITS)  # a segment of 3 frames: keyframes alone would not do, unless all are
    times = np.array(shown_s(FORMATS[name]))
    half_s = 0.5 * float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    for place, pts_s in enumerate(clip.pts_s):
        centre_s = (place + 0.5) * clip.info.duration_s / 16
        shown = times[times <= centre_s + 0.002].max()
        nearest = times[np.abs(times - centre_s).argmin()]
        is_shown = pts_s == pytest.approx(shown, abs=0.002)
        assert is_shown or (pts_s == pytest.approx(nearest, abs=0.002) and pts_s - centre_s <= half_s + 0.002)


@pytest.mark.parametrize("name", FORMATS)
def test_the_pixels_are_those_of_a_full_decode(name: str) -> None:
    path = str(cached_clip("noise-" + name, pattern=noise, **FORMATS[name]))
    times = np.array(shown_s(FORMATS[name]))
    with av.open(path) as container:
        painter = Painter(rule(1), container.streams.video[0].sample_aspect_ratio)
        every = list(container.decode(video=0))
    assert len(every) == len(times)
    for num_frames in (1, 3, 8, 16):
        clip = decode(path, rule(num_frames), LIMITS)
        for pts_s, frame_HWC in zip(clip.pts_s, clip.frames_THWC, strict=True):
            shown = every[int(np.abs(times - pts_s).argmin())]
            np.testing.assert_array_equal(frame_HWC, painter.paint(shown)[0])


@pytest.mark.parametrize("name", ["h264.mp4", "h264-open-gop.ts", "hevc.mp4", "vp9.webm", "av1.mp4", "mpeg2.mpg"])
def test_dense_keyframes_cost_one_decoded_frame_each(name: str) -> None:
    clip = decode(str(cached_clip(name, pattern=moving_square, **FORMATS[name])), rule(3), LIMITS)
    assert clip.info.frames_decoded == clip.info.frames_sampled == 3


@pytest.mark.parametrize("name", ["h264-b-pyramid.mkv", "mpeg2.mpg", "mpeg4.mp4", "hevc.mp4"])
def test_frames_nobody_refers_to_are_not_decoded(name: str) -> None:
    clip = decode(str(cached_clip("noise-" + name, pattern=noise, **FORMATS[name])), rule(8), LIMITS)
    assert 8 <= clip.info.frames_decoded < 40  # of 50


def test_groups_of_pictures_without_a_sampled_frame_are_not_decoded() -> None:
    path = cached_clip("long.mp4", pattern=moving_square, seconds=8.0, gop=10, options=frozen(bf="0", sc_threshold="0"))
    clip = decode(str(path), rule(24), LIMITS)  # a segment is 8.3 frames: not every one has a keyframe
    assert clip.info.frames_decoded < 150  # of 200
    assert clip.info.frames_sampled == 24


def test_a_recording_that_begins_between_keyframes_starts_at_the_first(tmp_path: Path) -> None:
    whole = cached_clip("h264.ts", pattern=moving_square).read_bytes()
    path = tmp_path / "tail.ts"
    path.write_bytes(whole[len(whole) * 2 // 5 // 188 * 188 :])
    clip = decode(str(path), rule(4), LIMITS)
    assert clip.pts_s[0] >= 0
    assert numbers(clip) == sorted(numbers(clip))
    assert numbers(clip)[0] >= 12


def test_a_repeated_frame_counts_once() -> None:
    clip = decode(str(cached_clip("h264-one-frame.mp4", seconds=0.04)), rule(8), LIMITS)
    assert (clip.info.frames_decoded, clip.info.frames_sampled) == (1, 1)
    assert clip.pts_s == (0.0,) * 8


def test_decoding_is_deterministic() -> None:
    path = str(cached_clip("noise-h264.mp4", pattern=noise))
    first, second = decode(path, rule(8), LIMITS), decode(path, rule(8), LIMITS)
    np.testing.assert_array_equal(first.frames_THWC, second.frames_THWC)
    assert (first.pts_s, first.info) == (second.pts_s, second.info)


def test_the_facts_of_the_source_are_told() -> None:
    info = decode(str(cached_clip("vp9-odd-size.webm", **FORMATS["vp9-odd-size.webm"])), rule(8), LIMITS).info
    assert (info.codec, info.width_px, info.height_px) == ("vp9", 321, 241)
    assert info.duration_s == pytest.approx(2.0, abs=0.05)
    assert info.frames_sampled == 8
