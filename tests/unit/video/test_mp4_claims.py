"""What an MP4 claims is counted from its boxes, wherever they stand, before libav believes it."""

import struct
import zlib
from pathlib import Path

import pytest

from fovea.errors import VideoLimitExceeded, VideoUnreadable
from video.file.mp4_claims import MAX_ENTRIES, check_claims

MANY = 30_000_000


def box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def sizes(count: int) -> bytes:
    return box(b"stsz", words(0, 20, count))


def durations(count: int, ticks: int) -> bytes:
    return box(b"stts", words(0, 1, count, ticks))


def movie(*tables: bytes, handler: bytes = b"vide") -> bytes:
    handler_box = box(b"hdlr", words(0, 0), handler, bytes(12))
    return box(b"moov", box(b"trak", box(b"mdia", handler_box, box(b"minf", box(b"stbl", *tables)))))


def check(path: Path, *boxes: bytes) -> None:
    path.write_bytes(box(b"ftyp", b"isom" + bytes(4)) + b"".join(boxes))
    check_claims(str(path))


@pytest.mark.parametrize(
    "claim",
    [
        movie(sizes(MANY)),
        movie(durations(MANY, 512)),
        movie(box(b"ctts", words(0, 1, MANY, 0))),
        movie(sizes(100), durations(MANY, 1)),
        box(b"moov", box(b"udta", sizes(MANY))),
        box(b"moof", box(b"traf", box(b"trun", words(0, MANY)))),
        box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", words(99), zlib.compress(movie(sizes(MANY)))))),
        struct.pack(">I4sQ", 1, b"moov", 16 + len(movie(sizes(MANY))) - 8) + movie(sizes(MANY))[8:],
        struct.pack(">I4s", 0, b"moov") + movie(sizes(MANY))[8:],
    ],
    ids=["sizes", "durations", "offsets", "one of two", "elsewhere", "fragment", "compressed", "64 bits", "to the end"],
)
def test_more_samples_than_any_video_has_are_refused(claim: bytes, tmp_path: Path) -> None:
    with pytest.raises(VideoLimitExceeded, match=f"more than the {MAX_ENTRIES}"):
        check(tmp_path / "a.mp4", claim)


def test_claims_of_all_tracks_and_fragments_add_up(tmp_path: Path) -> None:
    half = MAX_ENTRIES // 2 + 1
    fragment = box(b"moof", box(b"traf", box(b"trun", words(0, half))))
    check(tmp_path / "a.mp4", movie(sizes(10)), fragment)
    with pytest.raises(VideoLimitExceeded):
        check(tmp_path / "a.mp4", movie(sizes(10)), fragment, fragment)


def test_ten_minutes_of_plain_sound_are_no_claim(tmp_path: Path) -> None:
    check(tmp_path / "a.mov", movie(sizes(600 * 48_000), durations(600 * 48_000, 1), handler=b"soun"))


def test_a_video_cannot_pass_for_plain_sound(tmp_path: Path) -> None:
    with pytest.raises(VideoLimitExceeded):
        check(tmp_path / "a.mp4", movie(sizes(MANY), durations(MANY, 1)))


def test_boxes_without_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoLimitExceeded, match="boxes"):
        check(tmp_path / "a.mp4", box(b"moov", box(b"free") * 600_000))


def test_a_second_file_behind_the_first_is_told(tmp_path: Path) -> None:
    with pytest.raises(VideoUnreadable, match="several MP4 files"):
        check(tmp_path / "a.mp4", movie(sizes(1)), box(b"ftyp", b"isom"), movie(sizes(1)))


@pytest.mark.parametrize("data", [b"", b"\x1a\x45\xdf\xa3" + bytes(100), words(4) + b"moov" + bytes(50), b"RIFF" * 10])
def test_other_formats_and_nonsense_are_left_to_libav(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    check_claims(str(path))


def described(*kinds: bytes) -> bytes:
    return box(b"stsd", words(0, len(kinds)), *(box(kind, bytes(70)) for kind in kinds))


@pytest.mark.parametrize(
    ("boxes", "kinds"),
    [
        ((movie(described(b"avc1")),), (b"avc1",)),
        ((movie(described(b"avc1", b"hvc1")),), (b"avc1", b"hvc1")),
        ((movie(described(*[b"avc1"] * 50_000)),), (b"avc1", b"avc1")),
        ((movie(described(b"mp4a"), handler=b"soun"),), ()),
        ((movie(described(b"avc1")), box(b"moof")), ()),
        ((movie(box(b"stsd", words(0, 1), words(3), b"avc1")),), (b"avc1",)),
        ((movie(box(b"stsd", words(0, 1), b"avc")),), ()),
    ],
    ids=["one", "two", "a crowd, of which two are enough", "sound", "fragments", "too short a box", "cut off"],
)
def test_kinds_of_pictures_are_told(boxes: tuple[bytes, ...], kinds: tuple[bytes, ...], tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(box(b"ftyp", b"isom" + bytes(4)) + b"".join(boxes))
    assert check_claims(str(path)) == kinds
