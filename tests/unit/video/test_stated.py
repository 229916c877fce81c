"""Whether a file tells its length at its head is seen from its first bytes, however few of them are there."""

import io
import struct

import pytest

from video.file.stated import MAX_END_BYTES, Head, Said, head_of, index_behind_pictures


def box(kind: bytes, content: bytes = b"", *, size: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + len(content) if size is None else size, kind) + content


def movie(*inside: bytes) -> bytes:
    header = box(b"mvhd", struct.pack(">IIII", 0, 0, 0, 1000) + bytes(80))
    return box(b"moov", header + b"".join(inside))


def mehd(ticks: int, version: int = 0) -> bytes:
    return box(b"mvex", box(b"mehd", struct.pack(">IQ" if version else ">II", version << 24, ticks)))


def sidx(durations: list[int], *, version: int = 0) -> bytes:
    head = struct.pack(">III", version << 24, 1, 90_000) + bytes(16 if version else 8)
    pieces = b"".join(struct.pack(">III", 1000, ticks, 0) for ticks in durations)
    return box(b"sidx", head + struct.pack(">HH", 0, len(durations)) + pieces)


def said(content: bytes, num_bytes: int | None = None) -> Head:
    return head_of(io.BytesIO(content), len(content) if num_bytes is None else num_bytes)


FTYP = box(b"ftyp", b"isom" + bytes(12))
PICTURES = box(b"mdat", bytes(1000))
FRAGMENT = box(b"moof", bytes(200))


def test_an_index_that_comes_first_tells_it_as_soon_as_it_is_there() -> None:
    content = FTYP + box(b"free", bytes(20)) + movie() + PICTURES
    first = len(FTYP) + 28 + len(movie())
    assert {said(content, n).said for n in range(first)} == {Said.NOT_YET}
    assert {said(content, n).said for n in range(first, len(content))} == {Said.AT_HEAD}


@pytest.mark.parametrize(
    "content",
    [
        FTYP + PICTURES + movie(),
        FTYP + movie(box(b"mvex", bytes(20))) + FRAGMENT,
        FTYP + movie(mehd(0)) + FRAGMENT,
        FTYP + movie(mehd(0)) + sidx([90_000]) + FRAGMENT,
        FTYP + box(b"moov", size=2**31 - 1) + bytes(100),
        FTYP + box(b"moov", size=4) + bytes(100),
        FTYP + box(b"what") + movie(),
        FTYP + 70 * box(b"free") + movie(),
        b"G" + bytes(187) + b"G" + bytes(187),
        b"RIFF....AVI LIST" + bytes(100),
    ],
    ids=["index-last", "fragments", "empty-mehd", "sidx-of-one", "huge", "broken", "unknown", "many", "ts", "avi"],
)
def test_whatever_tells_it_later_is_left_alone(content: bytes) -> None:
    assert said(content).said is Said.NOTHING


@pytest.mark.parametrize("version", [0, 1])
def test_fragments_are_as_long_as_mehd_or_an_index_of_all_of_them_says(version: int) -> None:
    assert said(FTYP + movie(mehd(4500, version)) + FRAGMENT) == Head(Said.AT_HEAD, 4.5)
    indexed = FTYP + movie(box(b"mvex", bytes(20))) + sidx([90_000, 45_000], version=version) + FRAGMENT
    assert said(indexed) == Head(Said.AT_HEAD, 1.5)
    assert said(indexed, len(indexed) - len(FRAGMENT) - 1) == Head(Said.NOT_YET)


def test_matroska_is_asked_itself_once_its_head_is_there() -> None:
    content = b"\x1a\x45\xdf\xa3" + bytes(70_000)
    assert said(content, 1000).said is Said.NOT_YET
    assert said(content).said is Said.AT_HEAD


def test_an_index_of_a_million_boxes_is_not_gone_through() -> None:
    many = FTYP + box(b"moov", 100 * box(b"free") + mehd(4500)) + FRAGMENT
    assert said(many) == Head(Said.AT_HEAD)  # taken for one without fragments; libav tells better


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_boxes_that_break_off_inside_are_no_index(cut: int) -> None:
    """The lengths they tell are longer than what is there."""
    whole = box(b"mvhd", struct.pack(">IIII", 0, 0, 0, 1000)) + mehd(4500)
    assert said(FTYP + box(b"moov", whole[:cut]) + FRAGMENT).said in {Said.AT_HEAD, Said.NOTHING}


HUGE = struct.pack(">I4sQ", 1, b"free", 2**64 - 1) + bytes(40)
LAST = FTYP + box(b"free", bytes(8)) + PICTURES + movie()
END = len(LAST) - len(movie())


@pytest.mark.parametrize(
    "start", [FTYP + box(b"free", bytes(8)), box(b"wide"), FTYP, b""], ids=["free", "wide", "ftyp", ""]
)
def test_an_index_behind_the_pictures_is_where_they_end(start: bytes) -> None:
    content = start + PICTURES + movie()
    assert index_behind_pictures(content[: len(start) + 16], len(content)) == len(start + PICTURES)


def test_pictures_of_more_than_four_gigabytes_say_their_size_in_eight_bytes() -> None:
    first = FTYP + struct.pack(">I4sQ", 1, b"mdat", 5 * 2**30)
    assert index_behind_pictures(first + bytes(40), len(FTYP) + 5 * 2**30 + 1000) == len(FTYP) + 5 * 2**30


@pytest.mark.parametrize(
    ("first", "num_bytes"),
    [
        (FTYP + movie() + PICTURES, 2000),
        (FTYP + PICTURES, len(FTYP + PICTURES)),
        (FTYP + PICTURES, 10),
        (FTYP + PICTURES, len(FTYP + PICTURES) + MAX_END_BYTES + 1),
        (FTYP + box(b"mdat", size=0) + bytes(100), 2000),
        (FTYP + box(b"what") + PICTURES, 2000),
        (HUGE, 2**63),
        (FTYP + HUGE + PICTURES, 2**63),
        (FTYP, 2000),
        (FTYP + b"123", 2000),
        (b"", 2000),
        (b"\x1a\x45\xdf\xa3" + bytes(100), 2000),
        (b"RIFF....AVI LIST" + bytes(100), 2000),
    ],
)
def test_where_there_is_no_such_index_no_end_is_asked_for(first: bytes, num_bytes: int) -> None:
    assert index_behind_pictures(first, num_bytes) is None


def test_with_its_end_there_an_index_that_comes_last_tells_the_length() -> None:
    for num_bytes in range(16 + len(FTYP), END):
        assert head_of(io.BytesIO(LAST), num_bytes).said is not Said.AT_HEAD
    assert {head_of(io.BytesIO(LAST), n, END).said for n in range(len(FTYP) + 32, END)} == {Said.AT_HEAD}


def test_an_end_that_is_no_index_tells_nothing() -> None:
    content = FTYP + PICTURES + box(b"what", bytes(100))
    assert head_of(io.BytesIO(content), 100, len(FTYP + PICTURES)).said is Said.NOTHING
    assert head_of(io.BytesIO(LAST), 100, END - 4).said is Said.NOTHING, "it lies elsewhere than where pictures end"
    assert head_of(io.BytesIO(FTYP + PICTURES + HUGE), 100, len(FTYP + PICTURES)).said is Said.NOTHING
