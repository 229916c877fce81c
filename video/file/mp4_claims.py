"""What an MP4 or QuickTime file claims, read from its boxes before libav builds an index of its samples.

Forty kilobytes can claim thirty million samples, and libav would take 1.5 GB for their index before any other limit is
asked. Knows nothing of libav; the boxes are those of ISO/IEC 14496-12.
"""

import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from fovea.errors import VideoLimitExceeded, VideoUnreadable

MAX_ENTRIES = 1_000_000  # of all tracks: libav takes some 40 bytes for each. Ten minutes of frames and sound are 60,000

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", b"edts", b"wave", b"moof", b"traf"})
_FIRST = frozenset(
    {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"sidx", b"uuid", b"prfl"}
)
_MAX_HEADER_BYTES = 64 * 2**20  # of one moov or moof; more is no index that is taken
_MAX_BOXES = 500_000
_KINDS_ASKED_FOR = 2  # of a description's samples: whether there is one kind alone


@dataclass(slots=True)
class _Track:
    """What one track claims, filled as its boxes are met."""

    is_sound: bool = False
    is_film: bool = False
    kinds: list[bytes] = field(default_factory=list)  # of its samples: "avc1"
    num_samples: int = 0
    durations: list[tuple[int, int]] = field(default_factory=list)  # (samples, ticks of each)

    @property
    def num_entries(self) -> int:
        """Plain sound, one tick a sample, is indexed by chunk; all else by sample."""
        if self.is_sound and len(self.durations) == 1 and self.durations[0][1] == 1:
            return 0
        return max(self.num_samples, sum(samples for samples, _ in self.durations))


def check_claims(path: str) -> tuple[bytes, ...]:
    """Kinds of the samples of its film tracks, b"avc1" and the like, if they are told at once; none of other formats,
    which pass.

    Raises VideoLimitExceeded where the file claims more than MAX_ENTRIES samples, VideoUnreadable where it is several
    files one after the other, of which libav would read the first.
    """
    kinds: list[bytes] = []
    with open(path, "rb") as file:
        if file.read(8)[4:] not in _FIRST:
            return ()
        num_entries = 0
        tops: Counter[bytes] = Counter()
        for kind, data in _tops(file):
            tops[kind] += 1
            if min(tops[b"ftyp"], tops[b"moov"]) > 1:
                raise VideoUnreadable(
                    "the file is several MP4 files one after the other, of which only the first could be read; send "
                    "them one by one, or join them with a program for video"
                )
            num_entries += _claimed(data, kinds)
            if num_entries > MAX_ENTRIES:
                raise VideoLimitExceeded(
                    f"the file's index claims {num_entries} frames and pieces of sound, more than the {MAX_ENTRIES} "
                    "that are taken; send a part of it",
                    limit_entries=MAX_ENTRIES,
                )
    return () if tops[b"moof"] else tuple(kinds)


def _tops(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of each box at the top of the file; of others than moov and moof without the content."""
    end = os.fstat(file.fileno()).st_size
    place = 0
    while place + 8 <= end:
        file.seek(place)
        head = file.read(16)
        size, kind = struct.unpack(">I4s", head[:8])
        start = 8
        if size == 1 and len(head) == 16:
            size, start = struct.unpack(">Q", head[8:])[0], 16
        elif size == 0:
            size = end - place
        if size < start:
            return
        if kind in {b"moov", b"moof"}:
            length = min(size, end - place) - start
            if length > _MAX_HEADER_BYTES:
                raise VideoLimitExceeded(
                    f"the file's index has {length} bytes, more than the {_MAX_HEADER_BYTES} that are taken; send a "
                    "part of the video",
                    limit_bytes=_MAX_HEADER_BYTES,
                )
            file.seek(place + start)
            yield kind, file.read(length)
        else:
            yield kind, b""
        place += size


def _claimed(data: bytes, kinds: list[bytes]) -> int:
    """Samples that the boxes of one moov or moof claim; `kinds` of those of film tracks are added."""
    tracks = [_Track()]
    num_in_fragments = 0
    for kind, start, end in _boxes(data):
        track = tracks[-1]
        if kind == b"trak":
            tracks.append(_Track())
        elif kind == b"hdlr":
            track.is_sound |= data[start + 8 : start + 12] == b"soun"
            track.is_film |= data[start + 8 : start + 12] == b"vide"
        elif kind == b"stsd":
            track.kinds += islice(_sample_kinds(data[start:end]), _KINDS_ASKED_FOR)
        elif kind in {b"stsz", b"stz2"} and end - start >= 12:
            track.num_samples = max(track.num_samples, _word(data, start + 8))
        elif kind in {b"stts", b"ctts"} and end - start >= 8:
            count = min(_word(data, start + 4), (end - start - 8) // 8)
            pairs = list(struct.iter_unpack(">II", data[start + 8 : start + 8 + 8 * count]))
            if kind == b"stts":
                track.durations += pairs
            else:
                track.num_samples = max(track.num_samples, sum(samples for samples, _ in pairs))
        elif kind == b"trun" and end - start >= 8:
            num_in_fragments += _word(data, start + 4)
        elif kind == b"cmov":
            num_in_fragments += _claimed_compressed(data[start:end], kinds)
    kinds += [kind for track in tracks if track.is_film for kind in track.kinds]
    return num_in_fragments + sum(track.num_entries for track in tracks)


def _sample_kinds(data: bytes) -> Iterator[bytes]:
    """Of each description in an stsd box."""
    place = 8
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        yield kind
        if size < 8:
            return
        place += size


def _claimed_compressed(data: bytes, kinds: list[bytes]) -> int:
    """The same of a header that old QuickTime files hold compressed: dcom, then cmvd with its size and zlib data."""
    place = data.find(b"cmvd")
    if place < 0:
        return 0
    try:
        header = zlib.decompressobj().decompress(data[place + 8 :], _MAX_HEADER_BYTES)
    except zlib.error:
        return 0
    return _claimed(header, kinds)


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start and end of its content) of every box, those inside containers after them."""
    waiting = [(0, len(data))]
    num_boxes = 0
    while waiting:
        place, end = waiting.pop()
        while place + 8 <= end:
            num_boxes += 1
            if num_boxes > _MAX_BOXES:
                raise VideoLimitExceeded(f"the file's index has more than {_MAX_BOXES} boxes; send a part of the video")
            size, kind = struct.unpack_from(">I4s", data, place)
            if size == 0:
                size = end - place
            if size < 8:
                break
            inner, after = place + 8, min(place + size, end)
            yield kind, inner, after
            if kind in _CONTAINERS:
                waiting.append((after, end))
                place, end = inner, after
            else:
                place = after


def _word(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 4], "big")
