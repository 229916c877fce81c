"""A long file as cells of a time grid: the pictures are those of a whole decode, and no more is decoded than needed."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from fovea.errors import VideoLimitExceeded, VideoUnreadable
from tests.clips import cached_clip, frozen, read_number, write_clip
from video.clip import ClipRule, VideoLimits
from video.file.survey import survey
from video.file.windows import LongFile

RULE = ClipRule(num_frames=4, height_px=64, width_px=64, resize="stretch")
LIMITS = VideoLimits(duration_s=1000, frame_pixels=10**7, frames=10**6)
CELL_S = Fraction(1, 4)
# 25 frames a second: the frame nearest to the middle of a quarter of a second
FPS, SECONDS = 25, 8


def nearest(cell: int) -> int:
    middle = (cell + Fraction(1, 2)) * CELL_S * FPS
    return min(range(SECONDS * FPS), key=lambda number: (abs(number - middle), number))


def long_file(path: Path, cell_s: Fraction = CELL_S) -> LongFile:
    return LongFile(str(path), RULE, LIMITS, survey(str(path), LIMITS), cell_s)


def numbers(file: LongFile, mode: str, first: int, last: int) -> list[int | None]:
    cells = list(file.cells(mode, first, last))  # type: ignore[arg-type]
    assert [index for index, _ in cells] == list(range(first, last))
    return [None if picture is None else read_number(picture.frame_HWC) for _, picture in cells]


def clip(name: str = "long.mp4", **how: object) -> Path:
    how = {"seconds": SECONDS, "fps": FPS, "gop": 25, "size": (160, 128)} | how
    return cached_clip(name, **how)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("long.mp4", {}),
        ("long.mkv", {}),
        ("long.ts", {}),
        ("long.webm", {"codec": "libvpx"}),
        ("open.mp4", {"options": frozen(x264_params="open-gop=1:bframes=3:b-pyramid=normal")}),
        ("hevc.mp4", {"codec": "libx265", "options": frozen(x265_params="log-level=none")}),
        ("one_group.mp4", {"gop": 1000}),
        ("late.mp4", {"start_s": 3.0}),
        ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
    ],
)
def test_cells_show_the_frames_nearest_to_their_middles_in_whatever_format(name: str, how: dict[str, object]) -> None:
    with long_file(clip(name, **how)) as file:
        assert numbers(file, "all", 0, 32) == [nearest(cell) for cell in range(32)]


def test_a_stretch_in_the_middle_is_sought_and_little_more_is_decoded() -> None:
    with long_file(clip()) as file:
        assert numbers(file, "all", 20, 24) == [nearest(cell) for cell in range(20, 24)]
        assert file.work.frames_decoded <= 2 * FPS + 3  # from the keyframe before, at most 25 frames of it


def test_stretches_that_follow_each_other_are_decoded_once() -> None:
    with long_file(clip()) as whole, long_file(clip()) as parts:
        expected = numbers(whole, "all", 0, 32)
        found = [number for first in range(0, 32, 4) for number in numbers(parts, "all", first, first + 4)]
        assert found == expected
        assert parts.work.frames_decoded == whole.work.frames_decoded


def test_frames_that_nobody_refers_to_and_no_cell_shows_are_left_out() -> None:
    path = clip("b.mp4", options=frozen(x264_params="bframes=3:b-adapt=0:scenecut=0"))
    with long_file(path) as file:
        assert numbers(file, "all", 0, 32) == [nearest(cell) for cell in range(32)]
        assert file.work.frames_decoded < 0.8 * SECONDS * FPS


def test_keyframes_alone_are_a_fraction_of_the_work_and_cells_between_them_have_no_picture() -> None:
    with long_file(clip("keys.mp4", options=frozen(x264_params="scenecut=0"))) as file:
        found = numbers(file, "keyframes", 0, 32)
        assert [number for number in found if number is not None] == [0, 25, 50, 75, 100, 125, 150, 175]
        assert [cell for cell, number in enumerate(found) if number is not None] == [0, 4, 8, 12, 16, 20, 24, 28]
        assert file.work.frames_decoded == SECONDS


def test_both_modes_go_forward_side_by_side() -> None:
    with long_file(clip("keys.mp4", options=frozen(x264_params="scenecut=0"))) as file:
        for first in range(0, 32, 4):
            assert numbers(file, "keyframes", first, first + 4) == [first // 4 * FPS, None, None, None]
            if first % 8 == 0:
                assert numbers(file, "all", first, first + 4) == [nearest(cell) for cell in range(first, first + 4)]


def test_a_keyframe_that_is_none_is_not_begun_with(tmp_path: Path) -> None:
    """Its container calls every packet a keyframe; what is decoded from the others alone is made up."""
    path = tmp_path / "liar.mkv"
    true = clip("keys.mp4", options=frozen(x264_params="scenecut=0"))
    with av.open(str(true)) as source, av.open(str(path), "w") as liar:
        stream = liar.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream, packet.is_keyframe = stream, True
                liar.mux(packet)
    with long_file(path) as file:
        found = numbers(file, "keyframes", 0, 32)
        assert [number for number in found if number is not None] == [0, 25, 50, 75, 100, 125, 150, 175]
        assert numbers(file, "all", 18, 22) == [nearest(cell) for cell in range(18, 22)]


def test_cells_beyond_the_end_have_no_picture() -> None:
    with long_file(clip()) as file:
        assert numbers(file, "all", 30, 36) == [nearest(30), nearest(31), None, None, None, None]


def test_the_survey_tells_length_and_keyframes_without_decoding() -> None:
    seen = survey(str(clip("keys.mp4", options=frozen(x264_params="scenecut=0"))), LIMITS)
    assert (seen.duration_s, seen.num_packets, seen.keyframe_interval_s) == (SECONDS, SECONDS * FPS, 1.0)
    assert (seen.is_broken, seen.clock_breaks) == (False, 0)


def test_a_picture_that_stays_for_long_is_no_jump_of_the_clock(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "slides.mp4", times_s=[0, 60, 400, 420], size=(160, 128))
    assert survey(str(path), LIMITS).duration_s >= 420


def test_recordings_laid_end_to_end_run_on(tmp_path: Path) -> None:
    one = write_clip(tmp_path / "one.ts", seconds=4, fps=FPS, size=(160, 128), gop=25).read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(one + one)
    seen = survey(str(path), LIMITS)
    assert seen.clock_breaks == 1
    assert seen.duration_s == pytest.approx(8, abs=0.2)
    with long_file(path) as file:
        found = numbers(file, "all", 0, 32)
    assert sum(number is None for number in found) <= 1
    assert found[20] is not None
    assert 20 <= found[20] <= 32


def test_a_file_that_breaks_off_is_taken_for_what_is_there(tmp_path: Path) -> None:
    whole = write_clip(
        tmp_path / "whole.mp4",
        seconds=SECONDS,
        fps=FPS,
        size=(160, 128),
        gop=25,
        container_options={"movflags": "faststart"},
    ).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    seen = survey(str(path), LIMITS)
    assert seen.is_broken
    assert 2 < seen.duration_s < 7
    with long_file(path) as file:
        assert numbers(file, "all", 0, 8) == [nearest(cell) for cell in range(8)]


def test_limits_hold_and_name_themselves() -> None:
    with pytest.raises(VideoLimitExceeded, match="longer than the 5 s"):
        survey(str(clip()), VideoLimits(duration_s=5, frame_pixels=10**7, frames=10**6))
    with pytest.raises(VideoLimitExceeded, match="more than 100 frames"):
        survey(str(clip()), VideoLimits(duration_s=1000, frame_pixels=10**7, frames=100))
    with pytest.raises(VideoLimitExceeded, match="pixels"):
        survey(str(clip()), VideoLimits(duration_s=1000, frame_pixels=1000, frames=10**6))


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.mp4"
    path.write_text("no video at all")
    with pytest.raises(VideoUnreadable):
        survey(str(path), LIMITS)


def test_a_slow_videos_frames_that_are_decoded_out_of_order_are_no_jump_of_its_clock() -> None:
    path = clip("slow.mp4", seconds=120, fps=1, gop=30, size=(64, 48))  # with B-frames, seconds apart
    found = survey(str(path), LIMITS)
    assert (found.clock_breaks, found.duration_s) == (0, 120.0)
