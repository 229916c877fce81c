"""Whether a file that still arrives says already how long the video is: only then can frames be chosen early.

An MP4 whose index is there, a fragmented one whose `mehd` or `sidx` tells the whole, Matroska and WebM do (theirs is
read by libav); all others tell it with their last packet. What is told is a promise: nobody relies on it. Knows
nothing of libav; the boxes are those of ISO/IEC 14496-12.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from typing import BinaryIO

MAX_INDEX_BYTES = 16 * 2**20  # of a moov that is read here: ten minutes of frames and sound are 1 MB
MAX_END_BYTES = 2 * 2**20  # that are asked for before their turn
_MAX_PLACE = 2**62  # in a file: a box may claim more than can be sought
_EBML = b"\x1a\x45\xdf\xa3"
_HEAD_BYTES = 1 << 16  # of Matroska: tracks, length and tags lie there
_MAX_BOXES = 64  # before the pictures, and in one box: the service itself reads them
_PICTURES = b"mdat"
_BESIDE = frozenset({b"ftyp", b"styp", b"free", b"skip", b"wide", b"pnot", b"uuid", b"prft", b"pdin", b"emsg"})


class Said(Enum):
    """What the head of a file says of the video's length."""

    NOT_YET = "more bytes are needed to tell"
    NOTHING = "it is told at the end, or in a format that is not looked at"
    AT_HEAD = "it is told, as far as can be seen from outside"


@dataclass(frozen=True, slots=True)
class Head:
    """`fragments_s`: the length of a fragmented MP4; None for the others, whose own headers tell it."""

    said: Said
    fragments_s: float | None = None


def index_behind_pictures(first: bytes, num_bytes: int) -> int | None:
    """From where on an MP4's last bytes hold its index, as its `first` ones say.

    `num_bytes`: of the whole file. None: the index comes first, there is none, or it is too large.
    """
    file = BytesIO(first)
    if first[4:8] not in _BESIDE | {_PICTURES}:
        return None
    for kind, _, end in _tops(file, len(first)):
        if kind == _PICTURES:
            return end if end < num_bytes <= end + MAX_END_BYTES else None
        if kind not in _BESIDE:
            return None
    return None


def head_of(file: BinaryIO, num_bytes: int, end_from: int | None = None) -> Head:
    """Of a file of which the first `num_bytes` are there, and all from `end_from` on. It is left open, at any place."""
    file.seek(0)
    first = file.read(8)
    if first.startswith(_EBML):
        return Head(Said.AT_HEAD if num_bytes >= _HEAD_BYTES else Said.NOT_YET)
    if len(first) == 8 and first[4:] not in _BESIDE | {b"moov", _PICTURES}:
        return Head(Said.NOTHING)
    is_fragmented = False
    for kind, place, end in _tops(file, num_bytes, end_from):
        found: Head | None = None
        if kind == _PICTURES and end == end_from:
            continue
        is_at_end = end_from is not None and place >= end_from
        if kind not in {b"moov", b"sidx"} or end - place > MAX_INDEX_BYTES:
            if kind not in _BESIDE:  # pictures, or what nobody knows
                return Head(Said.NOTHING)
        elif end <= num_bytes or is_at_end:
            file.seek(place)
            found = _of_movie(file.read(end - place)) if kind == b"moov" else _of_index(file.read(end - place))
            is_fragmented |= found is None
        if found is not None and (kind == b"moov" or is_fragmented):
            return found
        if end >= num_bytes and not is_at_end:
            break
    else:
        return Head(Said.NOTHING)
    return Head(Said.NOT_YET)


def _of_movie(content: bytes) -> Head | None:
    """None: fragments follow, and nothing is said of all of them."""
    movie, extension = _inside(content, b"mvhd"), _inside(content, b"mvex")
    if extension is None:
        return Head(Said.AT_HEAD)
    told = _inside(extension, b"mehd")
    seconds = None if told is None or movie is None else _mehd_s(told, movie)
    return Head(Said.AT_HEAD, seconds) if seconds else None


def _of_index(content: bytes) -> Head:
    seconds = _sidx_s(content)
    return Head(Said.AT_HEAD, seconds) if seconds else Head(Said.NOTHING)


def _tops(file: BinaryIO, num_bytes: int, end_from: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start and end of its content) of the boxes at the top of the file, as far as their heads are there."""
    place = 0
    for _ in range(_MAX_BOXES):
        file.seek(place)
        head = file.read(16)
        is_there = place + 16 <= num_bytes or (end_from is not None and place >= end_from)
        if not is_there or len(head) < 16:
            yield b"free", place, num_bytes  # its head is still to come
            return
        size, kind = struct.unpack(">I4s", head[:8])
        start = 8
        if size == 1:
            size, start = struct.unpack(">Q", head[8:])[0], 16
        if size < start:
            return
        yield kind, place + start, place + size
        place += size
        if place > _MAX_PLACE:
            return


def _inside(data: bytes, wanted: bytes) -> bytes | None:
    """The content of the first box of that kind directly inside."""
    place = 0
    for _ in range(_MAX_BOXES):
        if place + 8 > len(data):
            return None
        size, kind = struct.unpack_from(">I4s", data, place)
        if size < 8:
            return None
        if kind == wanted:
            return data[place + 8 : place + size]
        place += size
    return None


def _mehd_s(told: bytes, movie: bytes) -> float | None:
    try:
        (timescale,) = struct.unpack_from(">I", movie, 20 if movie[0] == 1 else 12)
        (ticks,) = struct.unpack_from(">Q" if told[0] == 1 else ">I", told, 4)
    except (IndexError, struct.error):
        return None
    return ticks / timescale if timescale else None


def _sidx_s(content: bytes) -> float | None:
    """Of an index of several pieces, which is one of the whole; one of a single piece stands before each piece."""
    try:
        (timescale,) = struct.unpack_from(">I", content, 8)
        place = 12 + (16 if content[0] == 1 else 8) + 2
        (count,) = struct.unpack_from(">H", content, place)
        ticks = sum(struct.unpack_from(">I", content, place + 2 + 12 * number + 4)[0] for number in range(count))
    except (IndexError, struct.error):
        return None
    return ticks / timescale if timescale and count > 1 else None
