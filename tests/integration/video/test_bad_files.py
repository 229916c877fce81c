"""What is no video, or too much of one: refused for the right reason, in bounded time, telling no path."""

import re
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from fovea.errors import NoVideoStream, VideoError, VideoLimitExceeded, VideoUnreadable
from tests.clips import cached_clip, frozen, moving_square, noise, write_audio, write_clip
from video.clip import ClipRule, VideoLimits
from video.file.decode import decode

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)
RULE = ClipRule(num_frames=8, height_px=96, width_px=96, resize="letterbox")

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nother.mp4\n#EXT-X-ENDLIST\n"
DASH = (
    b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
    b'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">'
    b'<Representation id="1"><BaseURL>other.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>'
)
SESSION = (
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5000 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)
SUBTITLES = b"1\n00:00:00,000 --> 00:00:02,000\nhello\n\n2\n00:00:03,000 --> 00:00:04,000\nyou\n"


def refused(path: Path, kind: type[VideoError] = VideoUnreadable, limits: VideoLimits = LIMITS) -> VideoError:
    """The error that decoding `path` raises, which takes no long time and names nothing of the server."""
    started_s = time.monotonic()
    with pytest.raises(kind) as caught:
        decode(str(path), RULE, limits)
    assert time.monotonic() - started_s < 10
    assert str(path.parent) not in str(caught.value)
    assert path.name not in str(caught.value)
    return caught.value


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [b"", b"hello world\n" * 100, bytes(50_000), np.random.default_rng(0).bytes(50_000), b"\x00\x00\x00\x18ftypisom"],
    ids=["empty", "text", "zeros", "garbage", "a bare mp4 header"],
)
def test_what_is_no_video_is_unreadable(tmp_path: Path, data: bytes) -> None:
    assert "send a complete video" in str(refused(written(tmp_path / "a.mp4", data)))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.mp4", b"ffconcat version 1.0\nfile 'other.mp4'\n"),
        ("a.ffconcat", b"ffconcat version 1.0\nfile 'other.mp4'\n"),
        ("a.mp4", PLAYLIST),
        ("a.m3u8", PLAYLIST),
        ("a.mpd", DASH),
        ("a.sdp", SESSION),
        ("a.srt", SUBTITLES),
    ],
    ids=["ffconcat as mp4", "ffconcat", "playlist as mp4", "playlist", "DASH", "SDP", "subtitles"],
)
def test_a_file_that_names_others_reads_none_of_them(tmp_path: Path, name: str, data: bytes) -> None:
    write_clip(tmp_path / "other.mp4", seconds=0.2)
    refused(written(tmp_path / name, data))


def test_a_name_that_libav_would_take_for_an_instruction_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_clip(tmp_path / "other.mp4", seconds=0.2)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        decode(f"concat:{whole.name}", RULE, LIMITS)


def test_single_pictures_are_no_video(tmp_path: Path) -> None:
    refused(write_clip(tmp_path / "a.png", seconds=0.04, codec="png", pix_fmt="rgb24", container="image2"))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_alone_is_no_video(tmp_path: Path, name: str) -> None:
    assert "audio" in str(refused(write_audio(tmp_path / name), NoVideoStream))


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    assert "cover art" in str(refused(write_audio(tmp_path / "a.mp4", cover=True), NoVideoStream))


def test_a_codec_that_is_not_on_the_list_is_named(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", seconds=0.2, codec="snow", pix_fmt="yuv420p", options={"strict": "-2"})
    assert "'snow'" in str(refused(path))


def test_an_mp4_cut_before_its_index_is_unreadable(tmp_path: Path) -> None:
    whole = cached_clip("noise-h264.mp4", pattern=noise).read_bytes()
    refused(written(tmp_path / "a.mp4", whole[: len(whole) * 6 // 10]))


@pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov"])
def test_an_mp4_cut_in_its_pictures_says_how_much_could_be_read(tmp_path: Path, movflags: str) -> None:
    options = frozen(movflags=movflags)
    whole = cached_clip("noise-cut.mp4", pattern=noise, container_options=options).read_bytes()
    error = refused(written(tmp_path / "a.mp4", whole[: len(whole) * 6 // 10]))
    readable_s = error.extra["readable_s"]
    assert isinstance(readable_s, float)
    assert 0.5 < readable_s < 1.9
    assert f"{readable_s:.2f} s of" in str(error)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"), ("a.ts", "libx264"), ("a.flv", "flv")]
)
def test_a_recording_that_stops_early_is_taken_for_what_is_there(tmp_path: Path, name: str, codec: str) -> None:
    whole = cached_clip("noise-" + name, pattern=noise, codec=codec).read_bytes()
    clip = decode(str(written(tmp_path / name, whole[: len(whole) * 6 // 10])), RULE, LIMITS)
    assert 0.5 < clip.info.duration_s < 1.9


def test_a_video_of_which_too_much_is_damaged_says_how_many_frames_are_good(tmp_path: Path) -> None:
    data = bytearray(cached_clip("noise-h264.mp4", pattern=noise).read_bytes())
    start = data.index(b"mdat") + 2000
    for place in np.random.default_rng(1).integers(start, len(data) * 9 // 10, 200):
        data[place] ^= 0x5A
    error = refused(written(tmp_path / "a.mp4", bytes(data)))
    assert re.search(r"only \d+ of \d+ frames can be decoded", str(error))
    assert error.extra["readable_s"] < 2.0


def test_too_long_a_video_is_refused() -> None:
    error = refused(cached_clip("h264.mp4"), VideoLimitExceeded, VideoLimits(1.5, 10**7, 1000))
    assert "2.0 s" in str(error)
    assert "1.5 s" in str(error)


def test_ten_hours_that_only_the_header_claims_do_no_harm(tmp_path: Path) -> None:
    data = bytearray(cached_clip("vp9.webm", codec="libvpx-vp9").read_bytes())
    place = data.index(b"\x44\x89\x88") + 3  # Matroska's Duration: 8 bytes of floating point, in milliseconds
    data[place : place + 8] = struct.pack(">d", 36_000_000.0)
    clip = decode(str(written(tmp_path / "a.webm", bytes(data))), RULE, LIMITS)
    assert clip.info.duration_s == pytest.approx(2.0, abs=0.05)


def test_a_video_longer_than_its_header_claims_is_refused_by_its_frames(tmp_path: Path) -> None:
    data = bytearray(cached_clip("vp9.webm", codec="libvpx-vp9").read_bytes())
    place = data.index(b"\x44\x89\x88") + 3
    data[place : place + 8] = struct.pack(">d", 100.0)
    refused(written(tmp_path / "a.webm", bytes(data)), VideoLimitExceeded, VideoLimits(1.5, 10**7, 1000))


def test_too_many_frames_are_refused_however_short() -> None:
    error = refused(cached_clip("h264.mp4"), VideoLimitExceeded, VideoLimits(60.0, 10**7, 49))
    assert "49 frames" in str(error)


def test_a_video_right_at_its_limits_is_taken() -> None:
    clip = decode(str(cached_clip("h264.mp4")), RULE, VideoLimits(2.0, 320 * 240, 50))
    assert clip.info.duration_s == 2.0


def test_too_many_pixels_are_refused_with_the_numbers() -> None:
    error = refused(cached_clip("h264.mp4"), VideoLimitExceeded, VideoLimits(60.0, 320 * 240 - 1, 1000))
    assert "320 x 240" in str(error)
    assert error.extra["limit_pixels"] == 76799


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mp4", {}),
        ("a.ts", {}),
        ("vp9.webm", {"codec": "libvpx-vp9"}),
        ("av1.mp4", {"codec": "libsvtav1"}),
        ("mpeg2.ts", {"codec": "mpeg2video"}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
        ("wmv2.wmv", {"codec": "wmv2"}),
        ("ffv1.mkv", {"codec": "ffv1"}),
    ],
)
def test_far_too_many_pixels_are_told_in_every_format(name: str, how: dict[str, str]) -> None:
    path = cached_clip(name, size=(640, 480), seconds=0.2, **how)
    assert "640 x 480" in str(refused(path, VideoLimitExceeded, VideoLimits(60.0, 100 * 100, 1000)))


def test_a_keyframe_that_claims_sixteen_thousand_pixels_a_side_is_refused_at_once(tmp_path: Path) -> None:
    data = cached_clip("vp8.webm", codec="libvpx").read_bytes()
    size, claim = (b"\x9d\x01\x2a" + struct.pack("<HH", *size) for size in ((320, 240), (16383, 16383)))
    assert size in data
    error = refused(written(tmp_path / "a.webm", data.replace(size, claim)), VideoLimitExceeded)
    assert error.extra["limit_pixels"] == LIMITS.frame_pixels


def test_a_size_that_only_the_container_claims_does_no_harm(tmp_path: Path) -> None:
    data = bytearray(cached_clip("h264.mp4").read_bytes())
    place = data.rindex(b"avc1") + 28  # the sample description's width and height
    assert struct.unpack(">HH", data[place : place + 4]) == (320, 240)
    data[place : place + 4] = struct.pack(">HH", 16384, 16384)
    clip = decode(str(written(tmp_path / "a.mp4", bytes(data))), RULE, LIMITS)
    assert clip.info.height_px == 240


def test_frames_larger_than_the_header_says_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "a.ts"
    for place, size in enumerate([(160, 120), (640, 480)]):
        part = write_clip(tmp_path / f"{place}.ts", size=size, seconds=1.0, pattern=moving_square, start_s=float(place))
        with whole.open("ab") as file:
            file.write(part.read_bytes())
    error = refused(whole, VideoLimitExceeded, VideoLimits(60.0, 400 * 400, 1000))
    assert "640 x 480" in str(error)


def test_a_picture_like_a_thread_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", size=(2048, 16), seconds=0.2, codec="ffv1")
    assert "32:1" in str(refused(path, VideoLimitExceeded))


def test_a_file_that_is_not_there_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode(str(tmp_path / "none.mp4"), RULE, LIMITS)
