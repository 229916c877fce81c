"""Whether a file tells its length at its head is seen from its first bytes, however few of them are there."""

import io
import struct

import pytest

from video.file.stated import Head, Said, head_of


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
