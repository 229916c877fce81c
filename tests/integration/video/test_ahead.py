"""Frames that are decoded while a file arrives are those of the whole file, bit for bit, whatever its head said."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clips import cached_clip, frozen, noise
from tests.packets import broken_but
from video.clip import Clip, ClipRule, EarlyFrames, FirstLook, Look, VideoLimits
from video.file.ahead import Arriving, decode_ahead
from video.file.decode import carry_out, decode, plan_decoding
from video.file.stated import index_behind_pictures

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)
RULE = ClipRule(num_frames=8, height_px=64, width_px=96, resize="letterbox")
PLENTY = 10**12
FIRST = frozen(movflags="faststart")
CLIP = {"seconds": 4, "gop": 25, "pattern": noise, "size": (160, 128)}
FILES = {
    "a.mp4": {"container_options": FIRST, "options": frozen(x264_params="keyint=25:scenecut=0:bframes=0")},
    "b-frames.mp4": {"container_options": FIRST, "options": frozen(x264_params="bframes=3:b-pyramid=normal:keyint=20")},
    "open-gop.mp4": {"container_options": FIRST, "options": frozen(x264_params="keyint=20:bframes=3:open-gop=1")},
    "one-keyframe.mov": {"container_options": FIRST, "gop": 1000},
    "keyframes.mp4": {"container_options": FIRST, "gop": 5},
    "with-sound.mp4": {"container_options": FIRST, "with_audio": True},
    "turned.mp4": {"container_options": FIRST, "rotate_deg": 90},
    "hevc.mp4": {"container_options": FIRST, "codec": "libx265", "options": frozen(x265_params="log-level=none")},
    "varying.mp4": {
        "container_options": FIRST,
        "times_s": tuple(round(0.002 * n * n + 0.02 * n, 3) for n in range(40)),
    },
    "b-frames.mkv": {"options": frozen(x264_params="bframes=3:keyint=20:scenecut=0"), "with_audio": True},
    "vp9.webm": {"codec": "libvpx-vp9", "options": frozen(cpu_used="8", deadline="realtime")},
    "late.mkv": {"start_s": 1.0},
}
LOOKS: dict[str, Look] = {
    "all": None,
    "glance": FirstLook((1, 3, 5, 7), 0.0, ()),
    "first": FirstLook((1, 5), 0.0, None),
    "keyframes": FirstLook((1, 3, 5, 7), 0.6, None),
    "no loop filter": FirstLook((1, 3, 5, 7), 0.0, (), skip_loop_filter=True),
}


def source(name: str) -> Path:
    return cached_clip(f"ahead-{name}", **CLIP | FILES[name])


def arriving(path: Path, pieces: Iterator[int], num_bytes: int | None = None) -> Arriving:
    """`path`, of which ever more is there, `num_bytes` in the end; None: all."""
    most = path.stat().st_size if num_bytes is None else num_bytes
    there = 0

    def wait(more_than: int) -> int:
        nonlocal there
        while there <= more_than and there < most:
            there = min(most, there + next(pieces))
        return there

    return Arriving(path, most, wait, lambda: False)


def steadily(size: int = 1000) -> Iterator[int]:
    while True:
        yield size


def ahead(path: Path, look: Look = None, *, most_pixels: int = PLENTY) -> EarlyFrames | None:
    return decode_ahead(arriving(path, steadily()), RULE, LIMITS, look, most_pixels)


def with_early(path: Path, early: EarlyFrames | None, look: Look = None) -> Clip:
    return carry_out(plan_decoding(str(path), RULE, LIMITS, look, early))


def assert_the_same(clip: Clip, other: Clip) -> None:
    np.testing.assert_array_equal(clip.frames_THWC, other.frames_THWC)
    np.testing.assert_array_equal(clip.view_TB, other.view_TB)
    assert (clip.pts_s, clip.absent, clip.stand_ins) == (other.pts_s, other.absent, other.stand_ins)
    assert replace(clip.info, frames_decoded=0, frames_early=0) == replace(other.info, frames_decoded=0, frames_early=0)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_a_clip_with_early_frames_is_the_one_without(name: str, look: Look) -> None:
    path = source(name)
    early = ahead(path, look)
    clip = with_early(path, early, look)
    assert_the_same(clip, decode(str(path), RULE, LIMITS, look))
    assert clip.info.frames_early > (0 if name == "varying.mp4" else clip.info.frames_sampled / 2)


@given(
    name=st.sampled_from(sorted(FILES)),
    pieces=st.lists(st.integers(1, 50_000), min_size=1),
    look=st.sampled_from(sorted(LOOKS)),
)
@settings(max_examples=40, deadline=None)
def test_in_what_pieces_it_comes_changes_nothing(name: str, pieces: list[int], look: str) -> None:
    def repeated() -> Iterator[int]:
        while True:
            yield from pieces

    path = source(name)
    early = decode_ahead(arriving(path, repeated()), RULE, LIMITS, LOOKS[look], PLENTY)
    steady = ahead(path, LOOKS[look])
    assert early is not None
    assert steady is not None
    assert (early.packets, early.digests, early.num_decoded) == (steady.packets, steady.digests, steady.num_decoded)
    np.testing.assert_array_equal(early.frames_NHWC, steady.frames_NHWC)


def test_where_the_head_is_right_no_frame_is_decoded_twice() -> None:
    path = source("one-keyframe.mov")
    clip = with_early(path, ahead(path))
    assert clip.info.frames_decoded == decode(str(path), RULE, LIMITS).info.frames_decoded
    assert clip.info.frames_early == 8


@pytest.mark.parametrize("name", ["a.ts", "fragmented.mp4", "index-last.mp4", "live.mkv"])
def test_a_file_that_tells_its_length_at_its_end_is_not_begun(name: str, tmp_path: Path) -> None:
    options = {"fragmented.mp4": frozen(movflags="frag_keyframe+empty_moov"), "live.mkv": frozen(live="1")}
    path = cached_clip(f"not-begun-{name}", container_options=options.get(name, frozen()), **CLIP)
    assert ahead(path) is None


def test_a_fragmented_file_whose_mehd_tells_its_length_is_begun(tmp_path: Path) -> None:
    flags = frozen(movflags="frag_keyframe+empty_moov+default_base_moof")
    path = tmp_path / "a.mp4"
    path.write_bytes(_with_mehd(cached_clip("for-mehd.mp4", container_options=flags, **CLIP).read_bytes(), 4.0))
    clip = with_early(path, ahead(path))
    assert_the_same(clip, decode(str(path), RULE, LIMITS))
    assert clip.info.frames_early == 8


@pytest.mark.parametrize("seconds", [0.04, 1.0, 3.9, 4.2, 60.0, 40_000.0])
def test_a_head_that_lies_costs_time_and_no_pixel(seconds: float, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    content = bytearray(source("a.mp4").read_bytes())
    place = content.index(b"mdhd") + 4  # version and flags, two times, time scale, duration
    (timescale,) = struct.unpack_from(">I", content, place + 12)
    struct.pack_into(">I", content, place + 16, round(seconds * timescale))
    path.write_bytes(content)
    assert_the_same(with_early(path, ahead(path)), decode(str(path), RULE, LIMITS))


def test_a_tag_that_tells_an_endless_length_is_not_believed(tmp_path: Path) -> None:
    """Taken as a fraction, that number would fill the memory."""
    content = source("b-frames.mkv").read_bytes()
    assert b"00:00:04.000000000" in content
    path = tmp_path / "a.mkv"
    path.write_bytes(content.replace(b"00:00:04.000000000", b"00:00:1e9999999999"))
    assert_the_same(with_early(path, ahead(path)), decode(str(path), RULE, LIMITS))


@given(share=st.floats(0, 1), name=st.sampled_from(["a.mp4", "b-frames.mkv", "one-keyframe.mov"]))
@settings(max_examples=15, deadline=None)
def test_of_an_upload_that_stops_the_frames_that_came_are_those_of_the_whole(share: float, name: str) -> None:
    """Its reading ends where it stops; if the rest comes after all, they are taken."""
    path = source(name)
    stops = arriving(path, steadily(), round(share * path.stat().st_size))
    early = decode_ahead(replace(stops, num_bytes=path.stat().st_size), RULE, LIMITS, None, PLENTY)
    assert_the_same(with_early(path, early), decode(str(path), RULE, LIMITS))


def test_frames_of_another_file_are_not_taken(tmp_path: Path) -> None:
    early = ahead(source("b-frames.mp4"))
    clip = with_early(source("a.mp4"), early)
    assert clip.info.frames_early == 0
    assert_the_same(clip, decode(str(source("a.mp4")), RULE, LIMITS))


def test_a_file_whose_end_changed_since_gives_the_frames_that_came_before(tmp_path: Path) -> None:
    whole = source("a.mp4")
    early = ahead(whole)
    path = tmp_path / "a.mp4"
    path.write_bytes(whole.read_bytes()[: -whole.stat().st_size // 10])
    clip = with_early(path, early)
    assert clip.info.frames_early > 0
    assert_the_same(clip, decode(str(path), RULE, LIMITS))


def test_damage_is_told_as_ever(tmp_path: Path) -> None:
    path = broken_but(source("a.mp4"), tmp_path / "a.mp4", set(range(100)) - set(range(52, 60)))
    assert_the_same(with_early(path, ahead(path)), decode(str(path), RULE, LIMITS))


def test_no_more_is_decoded_early_than_was_to_be_spent() -> None:
    path = source("one-keyframe.mov")
    early = ahead(path, most_pixels=20 * 160 * 128)
    assert early is not None
    assert early.num_decoded <= 25  # what one packet, and the decoder's delay, bring along
    assert_the_same(with_early(path, early), decode(str(path), RULE, LIMITS))


def test_whoever_is_needed_elsewhere_stops_at_once_with_what_there_is() -> None:
    path, asked = source("a.mp4"), 0

    def is_over() -> bool:
        nonlocal asked
        asked += 1
        return asked > 80

    early = decode_ahead(replace(arriving(path, steadily()), is_over=is_over), RULE, LIMITS, None, PLENTY)
    assert early is not None
    assert 0 < len(early.packets) < 8
    assert asked < 90
    assert_the_same(with_early(path, early), decode(str(path), RULE, LIMITS))


def test_what_is_no_video_is_left_to_whoever_has_all_of_it() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        path.write_bytes(source("a.mp4").read_bytes()[:200] + b"no video" * 1000)
        assert ahead(path) is None


def _with_mehd(content: bytes, seconds: float) -> bytes:
    """A fragmented MP4 whose `mvex` tells the length of all fragments."""
    movie, extension = content.index(b"moov") - 4, content.index(b"mvex") - 4
    (timescale,) = struct.unpack_from(">I", content, content.index(b"mvhd") + 4 + 12)
    box = struct.pack(">I4sII", 16, b"mehd", 0, round(seconds * timescale))
    longer = bytearray(content)
    for place in (movie, extension):
        struct.pack_into(">I", longer, place, struct.unpack_from(">I", longer, place)[0] + len(box))
    longer[extension + 8 : extension + 8] = box
    return bytes(longer)


LASTS = {
    "last.mp4": {},
    "last-sound.mp4": {"with_audio": True},
    "last.mov": {"options": frozen(x264_params="bframes=3:b-pyramid=normal:keyint=20")},
}


def end_first(whole: Path, path: Path, size: int) -> Arriving:
    """`path` is written in pieces of `size` bytes, all behind the pictures first; what is not there is zeros."""
    content = whole.read_bytes()
    end_from = index_behind_pictures(content[:4096], len(content))
    assert end_from is not None
    path.write_bytes(bytes(end_from) + content[end_from:])
    there = 0

    def wait(more_than: int) -> int:
        nonlocal there
        while there <= more_than and there < end_from:
            piece = content[there : min(there + size, end_from)]
            with path.open("r+b") as file:
                file.seek(there)
                file.write(piece)
            there += len(piece)
        return len(content) if there == end_from else there

    return Arriving(path, 4096, wait, lambda: False, end_from)


@pytest.mark.parametrize("name", LASTS)
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("size", [700, 60_000])
def test_a_file_whose_end_came_first_is_decoded_while_the_rest_arrives(
    name: str, look: Look, size: int, tmp_path: Path
) -> None:
    whole = cached_clip(f"ahead-{name}", **CLIP | LASTS[name])
    early = decode_ahead(end_first(whole, tmp_path / name, size), RULE, LIMITS, look, PLENTY)
    assert (tmp_path / name).read_bytes() == whole.read_bytes()
    clip = with_early(tmp_path / name, early, look)
    assert_the_same(clip, decode(str(whole), RULE, LIMITS, look))
    assert clip.info.frames_early > clip.info.frames_sampled / 2


def test_an_end_of_another_version_costs_time_and_no_pixel(tmp_path: Path) -> None:
    one, other = (cached_clip(f"version-{n}.mp4", **CLIP | {"gop": gop}) for n, gop in enumerate((25, 10)))
    mixed = end_first(one, tmp_path / "a.mp4", 2000)
    (tmp_path / "b.mp4").write_bytes(other.read_bytes())
    early = decode_ahead(mixed, RULE, LIMITS, None, PLENTY)
    assert_the_same(with_early(tmp_path / "b.mp4", early), decode(str(other), RULE, LIMITS))
