"""Times of files whose own are odd: sampled is what is shown, in the order and at the pace in which it is shown."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from fovea.errors import VideoUnreadable
from tests.clips import Pattern, frozen, moving_square, read_number, write_clip
from tests.integration.video.whole_decode import sampled
from tests.packets import encoded
from video.clip import Clip

RATE = 25
B_FRAMES = {"x264-params": "bframes=3:scenecut=0"}

# what two recordings are encoded with, to stand one after the other in one file
RECORDINGS: dict[str, dict[str, Any]] = {
    "h264.ts": {"options": B_FRAMES},
    "hevc.ts": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "h264.mkv": {"options": B_FRAMES},
    "mpeg4.mkv": {"codec": "mpeg4", "options": {"bf": "2"}},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "h264.flv": {"options": B_FRAMES},
}
JUMPING = ("h264.ts", "mpeg2.ts", "mpeg2.mpg", "h264.flv")  # formats that do not say how long a picture stays


def later(first: int) -> Pattern:
    return lambda number, width, height: moving_square(number + first, width, height)


def appended(folder: Path, name: str, *, second_start_s: float) -> Path:
    """Frames 0 to 49 from 0 s on, then frames 50 to 99 from `second_start_s` on, in one file."""
    how = {"size": (160, 128), **RECORDINGS[name]}
    first = write_clip(folder / f"first-{name}", pattern=moving_square, **how)
    second = write_clip(folder / f"second-{name}", pattern=later(50), start_s=second_start_s, **how)
    data = second.read_bytes()
    path = folder / name
    path.write_bytes(first.read_bytes() + (data[13:] if name.endswith(".flv") else data))  # less FLV's file header
    return path


def assert_shown_in_order(clip: Clip, *, duration_s: float, first: int = 0) -> None:
    """Each frame is the one of its time, 25 a second from `first` on, and they are spread over the whole."""
    numbers = [read_number(frame, view) for frame, view in zip(clip.frames_THWC, clip.view_TB, strict=True)]
    assert numbers == [first + round(pts_s * RATE) for pts_s in clip.pts_s]
    assert clip.info.duration_s == pytest.approx(duration_s, abs=0.05)
    segment_s = clip.info.duration_s / len(clip.pts_s)
    assert all(place * segment_s <= pts_s <= (place + 1) * segment_s for place, pts_s in enumerate(clip.pts_s))


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("num_frames", [1, 8, 16])
def test_two_recordings_in_one_file_are_shown_one_after_the_other(name: str, num_frames: int, tmp_path: Path) -> None:
    clip = sampled(appended(tmp_path, name, second_start_s=0.0), num_frames)
    assert_shown_in_order(clip, duration_s=4.0)
    assert clip.info.clock_breaks == 1


@pytest.mark.parametrize("name", JUMPING)
@pytest.mark.parametrize("jump_s", [30, 3600])
def test_a_clock_that_jumps_ahead_runs_on(name: str, jump_s: int, tmp_path: Path) -> None:
    clip = sampled(appended(tmp_path, name, second_start_s=2.0 + jump_s), 16)
    assert_shown_in_order(clip, duration_s=4.0)
    assert clip.info.clock_breaks == 1


def test_a_jump_longer_than_any_video_is_no_picture_that_stands_still(tmp_path: Path) -> None:
    clip = sampled(appended(tmp_path, "h264.mkv", second_start_s=3600.0), 16)
    assert_shown_in_order(clip, duration_s=4.0)


@pytest.mark.parametrize("at", [50, 57, 60])
@pytest.mark.parametrize("jump_s", [30, 3600, -3600])
def test_a_clock_may_jump_between_keyframes_too(at: int, jump_s: int, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.ts", seconds=4.0, size=(160, 128), gop=10, options=B_FRAMES).read_bytes()
    path = tmp_path / "a.ts"
    path.write_bytes(moved(whole, at, jump_s * 90_000))
    assert_shown_in_order(sampled(path, 16), duration_s=4.0)


def moved(data: bytes, first: int, ticks: int) -> bytes:
    """An MPEG-TS whose pictures from number `first` on, in their order in the file, are `ticks` later."""
    out = bytearray(data)
    number = 0
    for place in range(0, len(out), 188):
        start = place + 4 + (1 + out[place + 4] if out[place + 3] & 0x20 else 0)
        if not out[place + 1] & 0x40 or out[start : start + 3] != b"\0\0\1" or out[start + 3] & 0xF0 != 0xE0:
            continue  # no picture begins here
        number += 1
        if number > first:
            for index in range({2: 1, 3: 2}.get(out[start + 7] >> 6, 0)):  # the time of display, and of decoding
                field = slice(start + 9 + 5 * index, start + 14 + 5 * index)
                out[field] = time_field(time_of(out[field]) + ticks, out[field.start] & 0xF0)
    return bytes(out)


def time_of(field: bytes) -> int:
    high, middle, low = struct.unpack(">BHH", field)
    return (high >> 1 & 7) << 30 | middle >> 1 << 15 | low >> 1


def time_field(ticks: int, prefix: int) -> bytes:
    ticks %= 1 << 33
    low, middle = (ticks & 0x7FFF) << 1 | 1, (ticks >> 15 & 0x7FFF) << 1 | 1
    return struct.pack(">BHH", prefix | (ticks >> 30) << 1 | 1, middle, low)


def test_a_second_recording_that_begins_between_keyframes_starts_at_its_first(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "first.ts", size=(160, 128), options=B_FRAMES).read_bytes()
    second = write_clip(tmp_path / "second.ts", size=(160, 128), pattern=later(50), options=B_FRAMES).read_bytes()
    path = tmp_path / "a.ts"
    path.write_bytes(first + second[len(second) // 3 // 188 * 188 :])
    clip = sampled(path, 16)
    numbers = [read_number(frame, view) for frame, view in zip(clip.frames_THWC, clip.view_TB, strict=True)]
    assert numbers == sorted(numbers)
    assert all(number < 50 or number >= 62 for number in numbers)  # the second one's keyframes are 50, 62, 74, 86


def test_a_clock_of_33_bits_wraps(tmp_path: Path) -> None:
    start_s = 2**33 / 90_000 - 1.0
    path = write_clip(tmp_path / "a.ts", size=(160, 128), start_s=start_s, options=B_FRAMES)
    clip = sampled(path, 16)
    assert_shown_in_order(clip, duration_s=2.0)
    assert clip.info.clock_breaks == 0


@pytest.mark.parametrize("fps", [1, 5])
def test_slow_frames_that_are_reordered_are_no_break_of_the_clock(fps: int, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", seconds=30 / fps, fps=fps, size=(160, 128), gop=30, options=B_FRAMES)
    clip = sampled(path, 15)
    assert clip.info.clock_breaks == 0
    assert [read_number(frame) for frame in clip.frames_THWC] == [round(pts_s * fps) for pts_s in clip.pts_s]


def test_several_mp4_files_in_one_are_refused_in_words(tmp_path: Path) -> None:
    options = frozen(movflags="frag_keyframe+empty_moov")
    part = write_clip(tmp_path / "part.mp4", size=(160, 128), container_options=dict(options)).read_bytes()
    path = tmp_path / "a.mp4"
    path.write_bytes(part + part)
    with pytest.raises(VideoUnreadable, match="several MP4 files"):
        sampled(path, 8)


@pytest.mark.parametrize(("codec", "options"), [("libx264", B_FRAMES), ("libx264", {"bf": "0"}), ("mpeg4", {})])
def test_an_avi_that_leaves_every_other_picture_out_lasts_as_long_as_it_is_shown(
    codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=2 * RATE)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for coded in encoded(codec, pattern=moving_square, options=options):
            packet = av.Packet(coded.data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, RATE), coded.is_key
            packet.pts = packet.dts = coded.dts  # libav fills the gaps with empty chunks
            output.mux(packet)
    assert_shown_in_order(sampled(path, 16), duration_s=2.0)


def test_a_screen_that_stands_still_is_sampled_by_what_is_shown(tmp_path: Path) -> None:
    times_s = [0.0, *(9.0 + number / RATE for number in range(25))]  # one picture for 9 s, then 25 in a second
    for name in ("a.mp4", "a.mkv", "a.webm"):
        codec = "libvpx" if name == "a.webm" else "libx264"
        path = write_clip(tmp_path / name, times_s=times_s, size=(160, 128), codec=codec, gop=250)
        clip = sampled(path, 16)
        for place, frame_HWC in enumerate(clip.frames_THWC):
            centre_s = (place + 0.5) * clip.info.duration_s / 16
            shown = max(number for number, time_s in enumerate(times_s) if time_s <= centre_s + 0.02)
            assert read_number(frame_HWC) == shown


def test_a_video_whose_sound_is_longer_lasts_as_long_as_its_pictures(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        sound = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        stream = output.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(moving_square(number, 160, 128), format="rgb24").reformat(
                format="yuv420p"
            )
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        for second in range(70):  # the longest video taken here is 60 s
            packet = av.Packet(bytes(16_000))
            packet.stream, packet.pts, packet.dts, packet.time_base = sound, second, second, Fraction(1)
            output.mux(packet)
    with av.open(str(path)) as container:
        assert container.duration > 65 * av.time_base
    assert_shown_in_order(sampled(path, 16), duration_s=2.0)


def test_a_recording_that_starts_late_by_its_clock_is_as_long_as_it_is(tmp_path: Path) -> None:
    for name in ("a.mkv", "a.ts"):
        path = write_clip(tmp_path / name, size=(160, 128), start_s=3600.0)
        assert_shown_in_order(sampled(path, 16), duration_s=2.0)


def test_a_duration_that_only_the_movie_header_claims_does_no_harm(tmp_path: Path) -> None:
    data = bytearray(write_clip(tmp_path / "whole.mp4", size=(160, 128)).read_bytes())
    place = data.index(b"mvhd") + 20
    data[place : place + 4] = struct.pack(">I", 8_520_000)  # 2 h 22 min in milliseconds
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    assert_shown_in_order(sampled(path, 16), duration_s=2.0)
