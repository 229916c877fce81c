"""What a clip's pixels show: upright, true to colour and geometry, with the way back to the source.

Shape suffixes: T frames, H rows, W columns, C colour channels, B box sides.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from tests.clips import Frozen, cached_clip, corner_square, noise, read_box, solid, write_clip
from video.clip import ClipRule, Resize, VideoLimits
from video.file.decode import decode

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)
SQUARE = (0.25, 0.125, 0.25, 0.125)  # what `corner_square` draws: x, y, w, h of the coded picture


def rule(resize: Resize = "stretch", width: int = 160, height: int = 120, short_side_px: int | None = None) -> ClipRule:
    return ClipRule(2, height, width, resize, short_side_px)


def square_in_source(frame_HWC: NDArray[np.uint8], view_B: NDArray[np.float32]) -> NDArray[np.float64]:
    """Where the bright square lies in the displayed source, by way of the view."""
    height, width, _ = frame_HWC.shape
    x, y, w, h = read_box(frame_HWC)
    box = np.array([x / width, y / height, w / width, h / height])
    scale = view_B[[2, 3, 2, 3]].astype(float)
    return box * scale + np.array([view_B[0], view_B[1], 0, 0])


@pytest.mark.parametrize("resize", ["letterbox", "center_crop", "stretch"])
@pytest.mark.parametrize("short_side_px", [None, 120])
@pytest.mark.parametrize("size", [(320, 240), (480, 200), (240, 280)])
def test_a_box_on_the_clip_maps_back_to_the_source(
    resize: Resize, short_side_px: int | None, size: tuple[int, int]
) -> None:
    path = cached_clip("square.mp4", pattern=corner_square, size=size, seconds=0.2)
    clip = decode(str(path), rule(resize, 150, 130, short_side_px), LIMITS)
    for frame_HWC, view_B in zip(clip.frames_THWC, clip.view_TB, strict=True):
        seen = square_in_source(frame_HWC, view_B)
        if resize != "center_crop":  # which cuts part of the square away
            np.testing.assert_allclose(seen, SQUARE, atol=0.02)
        else:
            x, y, w, h = view_B.tolist()
            left, right = max(x, SQUARE[0]), min(x + w, SQUARE[0] + SQUARE[2])
            top, bottom = max(y, SQUARE[1]), min(y + h, SQUARE[1] + SQUARE[3])
            np.testing.assert_allclose(seen, (left, top, right - left, bottom - top), atol=0.02)


@pytest.mark.parametrize(
    ("rotate_deg", "displayed", "square"),
    [
        (0, (320, 240), (0.25, 0.125, 0.25, 0.125)),
        (90, (240, 320), (0.75, 0.25, 0.125, 0.25)),  # clockwise: the upper left comes to the upper right
        (180, (320, 240), (0.5, 0.75, 0.25, 0.125)),
        (270, (240, 320), (0.125, 0.5, 0.125, 0.25)),
    ],
)
@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_a_phones_rotation_is_applied(
    rotate_deg: int, displayed: tuple[int, int], square: tuple[float, ...], resize: Resize
) -> None:
    path = cached_clip("turned.mp4", pattern=corner_square, seconds=0.2, rotate_deg=rotate_deg)
    clip = decode(str(path), rule(resize), LIMITS)
    assert (clip.info.width_px, clip.info.height_px) == displayed
    np.testing.assert_allclose(square_in_source(clip.frames_THWC[0], clip.view_TB[0]), square, atol=0.02)


def test_a_mirrored_recording_is_mirrored_back(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "selfie.mp4", pattern=corner_square, seconds=0.2, mirror=True)
    clip = decode(str(path), rule(), LIMITS)
    np.testing.assert_allclose(
        square_in_source(clip.frames_THWC[0], clip.view_TB[0]), (0.5, 0.125, 0.25, 0.125), atol=0.02
    )


@pytest.mark.parametrize("name", ["wide.mp4", "wide.mkv"])
def test_pixels_that_are_not_square_are_shown_as_they_should_be(name: str) -> None:
    path = cached_clip(name, pattern=corner_square, seconds=0.2, pixel_aspect=Fraction(4, 3))
    clip = decode(str(path), rule("letterbox", 160, 120), LIMITS)
    assert (clip.info.width_px, clip.info.height_px) == (427, 240)
    np.testing.assert_allclose(square_in_source(clip.frames_THWC[0], clip.view_TB[0]), SQUARE, atol=0.02)
    assert clip.frames_THWC[0, :12].max() == 0  # 427 x 240 in 160 x 120 leaves bars of 15 rows


@pytest.mark.parametrize("short_side_px", [None, 96])
def test_letterbox_pads_with_black(short_side_px: int | None) -> None:
    path = cached_clip("white.mp4", pattern=solid(255, 255, 255), size=(480, 240), seconds=0.2)
    frame_HWC = decode(str(path), rule("letterbox", 96, 96, short_side_px), LIMITS).frames_THWC[0]
    assert frame_HWC[:24].max() == frame_HWC[72:].max() == 0
    assert frame_HWC[24:72].min() > 250


COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 30),
    "blue": (30, 30, 210),
    "white": (255, 255, 255),
    "grey": (100, 100, 100),
}
CODINGS: dict[str, dict[str, Any]] = {
    "8 bits": {},
    "10 bits": {"pix_fmt": "yuv420p10le"},
    "4:4:4": {"pix_fmt": "yuv444p"},
    "full range": {"pix_fmt": "yuvj420p"},
    "RGB": {"codec": "libx264rgb", "pix_fmt": "rgb24"},
    "4:2:2 in 10 bits, ProRes": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "with alpha": {"codec": "prores_ks", "pix_fmt": "yuva444p10le", "options": Frozen([("profile", "4444")])},
    "high definition": {"size": (1280, 720), "colorspace": "ITU709"},
    "high definition without a word on it": {"size": (1280, 720), "colorspace": "ITU709", "tag_colours": False},
}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("coding", CODINGS)
def test_colours_come_out_as_they_went_in(coding: str, colour: str) -> None:
    path = cached_clip("colour.mov", pattern=solid(*COLOURS[colour]), seconds=0.08, **CODINGS[coding])
    frame_HWC = decode(str(path), rule(), LIMITS).frames_THWC[0]
    np.testing.assert_allclose(frame_HWC.mean(axis=(0, 1)), COLOURS[colour], atol=4)
    assert int(np.ptp(frame_HWC, axis=(0, 1)).max()) <= 6


def test_a_video_without_colour_is_grey() -> None:
    path = cached_clip("grey.mp4", pattern=solid(90, 90, 90), pix_fmt="gray", seconds=0.08)
    frame_HWC = decode(str(path), rule(), LIMITS).frames_THWC[0]
    np.testing.assert_allclose(frame_HWC, 90, atol=4)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_shrinking_averages_what_it_merges(factor: int) -> None:
    path = str(
        cached_clip("texture.mkv", pattern=noise, size=(640, 480), seconds=0.04, codec="ffv1", pix_fmt="yuv444p")
    )
    with av.open(path) as container:
        frame = next(container.decode(video=0))
    source_HWC = frame.to_ndarray(format="rgb24", interpolation=Interpolation.POINT).astype(float)
    height, width = 480 // factor, 640 // factor
    averaged_HWC = source_HWC.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))
    shrunk_HWC = decode(path, rule("stretch", width, height), LIMITS).frames_THWC[0]
    assert np.abs(shrunk_HWC - averaged_HWC).mean() < 2


def test_interlaced_video_is_sampled_as_whole_frames() -> None:
    options = Frozen([("flags", "+ildct+ilme"), ("x264-params", "tff=1")])
    path = cached_clip("interlaced.mp4", pattern=corner_square, seconds=0.2, options=options)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    clip = decode(str(path), rule(), LIMITS)
    np.testing.assert_allclose(square_in_source(clip.frames_THWC[0], clip.view_TB[0]), SQUARE, atol=0.02)


def change_of_size(path: Path, *, second: tuple[int, int]) -> Path:
    """One MPEG-TS whose pictures change from 320 x 240 to `second` halfway: two recordings, one after the other."""
    for place, size in enumerate([(320, 240), second]):
        part = write_clip(
            path.with_name(f"{place}.ts"), size=size, seconds=1.0, pattern=corner_square, start_s=1.0 * place
        )
        with path.open("ab") as whole:
            whole.write(part.read_bytes())
    return path


def test_a_change_of_size_in_mid_stream_keeps_every_frame_whole(tmp_path: Path) -> None:
    path = change_of_size(tmp_path / "both.ts", second=(160, 240))
    clip = decode(str(path), ClipRule(8, 120, 160, "letterbox"), LIMITS)
    assert len({tuple(view) for view in clip.view_TB.tolist()}) == 2
    for frame_HWC, view_B in zip(clip.frames_THWC, clip.view_TB, strict=True):
        np.testing.assert_allclose(square_in_source(frame_HWC, view_B), SQUARE, atol=0.03)


BARS = [(235, 235, 235), (220, 220, 20), (20, 220, 220), (20, 200, 20), (220, 20, 220), (200, 30, 30), (30, 30, 200)]
BT709_TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def hdr_frame(transfer: str, width: int = 280, height: int = 120) -> av.VideoFrame:
    """The bars as HDR in 10 bits: reference white is 203 nits."""
    colours = (np.array(BARS) / 255) ** 2.4 @ BT709_TO_2020.T
    if transfer == "pq":
        power = (203 * colours / 10_000) ** 0.1593017578125
        coded = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    else:
        luma = np.array([0.2627, 0.6780, 0.0593])
        shown = 203 * colours / 1000
        scene = shown * (shown @ luma)[:, None] ** (1 / 1.2 - 1)
        coded = np.where(
            scene <= 1 / 12,
            np.sqrt(3 * scene),
            0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073,
        )
    luma_7 = coded @ np.array([0.2627, 0.6780, 0.0593])
    blue_7, red_7 = (coded[:, 2] - luma_7) / 1.8814, (coded[:, 0] - luma_7) / 1.4746
    planes = [64 + 876 * luma_7, 512 + 896 * blue_7, 512 + 896 * red_7]
    picture = [np.repeat(plane.round().astype(np.uint16)[None], height, 0).repeat(width // 7, 1) for plane in planes]
    frame = av.VideoFrame(width, height, "yuv444p10le")
    for plane, values in zip(frame.planes, picture, strict=True):
        padded = np.zeros((height, plane.line_size // 2), np.uint16)
        padded[:, :width] = values
        plane.update(padded.tobytes())
    return frame


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_hdr_is_shown_as_on_a_common_screen(transfer: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx265", rate=25, options={"x265-params": "log-level=none:crf=4"})
        stream.width, stream.height, stream.pix_fmt = 280, 120, "yuv444p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries = 9, 9  # BT.2020
        context.color_trc = 16 if transfer == "pq" else 18
        for number in range(3):
            frame = hdr_frame(transfer)
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    frame_HWC = decode(str(path), ClipRule(2, 120, 280, "stretch"), LIMITS).frames_THWC[0]
    shown = [frame_HWC[40:80, 40 * place + 10 : 40 * place + 30].mean(axis=(0, 1)) for place in range(7)]
    # the darkest channel of a strong colour lies on the border of the gamut: ten bits of BT.2020 move it across
    tolerance = np.where(np.array(BARS) > 20, 12, 21)
    assert (np.abs(np.array(shown) - BARS) <= tolerance).all(), shown


def test_ycgco_is_undone(tmp_path: Path) -> None:
    red, green, blue = 200, 60, 30
    luma, orange = (red + 2 * green + blue) / 4 / 255, (red - blue) / 2 / 255
    greenness = (2 * green - red - blue) / 4 / 255
    frame = av.VideoFrame(160, 120, "yuv444p")
    for plane, value in zip(frame.planes, (16 + 219 * luma, 128 + 224 * greenness, 128 + 224 * orange), strict=True):
        plane.update(bytes([round(value)]) * (plane.line_size * plane.height))
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv444p"
        stream.codec_context.colorspace = 8
        for number in range(3):
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    for short_side_px in (None, 96):
        clip = decode(str(path), rule("letterbox", 80, 60, short_side_px), LIMITS)
        np.testing.assert_allclose(clip.frames_THWC[0].mean(axis=(0, 1)), (red, green, blue), atol=4)


@pytest.mark.parametrize(
    ("size", "colorspace"),
    [((1280, 544), "ITU709"), ((720, 720), "ITU709"), ((720, 576), "ITU601"), ((854, 480), "ITU601")],
)
def test_colours_that_a_file_leaves_unsaid_go_by_width_and_height(size: tuple[int, int], colorspace: str) -> None:
    path = cached_clip(
        "unsaid.mp4", pattern=solid(30, 200, 30), size=size, seconds=0.08, colorspace=colorspace, tag_colours=False
    )
    frame_HWC = decode(str(path), rule(), LIMITS).frames_THWC[0]
    np.testing.assert_allclose(frame_HWC.mean(axis=(0, 1)), (30, 200, 30), atol=4)
