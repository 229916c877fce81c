"""Whether an MP4's own headers tell all of its H.264 that libav decodes frames to learn; then none need be decoded.

libav decodes one to twenty frames while it opens a file, for their size, pixel format and aspect, and how far they are
reordered. The sequence parameter set in the index tells the same of most files (ITU-T H.264, 7.3.2.1.1 and annex E).
Where there is any doubt the answer is no: asking libav costs time alone. Knows not how a file is opened.
"""

import os
from dataclasses import dataclass

from av.container import InputContainer
from av.video.stream import VideoStream

from video.file.parameter_sets import H264_SEI, H264_SETS, H264_SLICES, sei_types, units_by_length

_FIRST_SAMPLES = 40  # libav decodes twenty at most, of which the decoder may hold back sixteen
_HEAD_BYTES = 1 << 12  # of a sample: what comes before its first slice is a few hundred
_PROFILES = frozenset({66, 77, 88, 100})  # baseline, main, extended, high: 8 bits, and but for the last one 4:2:0
_HIGH = 100
_ALTERNATIVE_TRANSFER = 147  # SEI payload type: it holds for frames behind it
_ANY_ASPECT = 255  # aspect_ratio_idc: told in numbers
_SQUARE = 1
_MAX_REORDERED = 16
_MOST_SET_BYTES = 1 << 10  # usual ones have 20 to 60; reading takes the square of it


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """What one sequence parameter set tells of frames in 4:2:0 and 8 bits."""

    width_px: int
    height_px: int
    has_square_pixels: bool  # or says nothing of them
    num_reordered: int | None  # frames that may come before one shown sooner; None: not told


def headers_tell_all(path: str, container: InputContainer) -> bool:
    """Whether decoding frames would tell nothing more, of a file of one film track that was opened without."""
    if len(container.streams.video) != 1:
        return False
    stream = container.streams.video[0]
    context = stream.codec_context
    if context is None or context.name != "h264" or not (told := only_set(context.extradata or b"")):
        return False
    return (
        told.num_reordered is not None
        and (told.width_px, told.height_px) == (context.width, context.height)
        and (told.has_square_pixels or bool(stream.sample_aspect_ratio))  # the container's own decides
        and _samples_add_nothing(path, stream, (context.extradata or b"")[4] % 4 + 1)
    )


def only_set(extradata: bytes) -> SequenceSet | None:
    """Of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) with one sequence parameter set; else None."""
    if len(extradata) < 8 or extradata[0] != 1 or extradata[5] % 32 != 1:
        return None
    length = int.from_bytes(extradata[6:8])
    unit = extradata[8 : 8 + length]
    return read_set(unit) if len(unit) == length else None


def read_set(unit: bytes) -> SequenceSet | None:
    """A sequence parameter set from its NAL unit; None where it is damaged, or of a kind that is not read here."""
    if not 4 <= len(unit) <= _MOST_SET_BYTES or unit[0] % 32 != 7:
        return None
    try:
        return _read_set(_Bits(unit[1:].replace(b"\x00\x00\x03", b"\x00\x00")))
    except EOFError:
        return None


class _Bits:
    """Read from the highest bit on. Raises EOFError behind the last."""

    def __init__(self, content: bytes) -> None:
        self._number = int.from_bytes(content)
        self._left = 8 * len(content)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise EOFError
        return self._number >> self._left & (1 << count) - 1

    def skip(self, *counts: int) -> None:
        self.take(sum(counts))

    def unsigned(self) -> int:
        """ue(v)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def skip_numbers(self, count: int) -> None:
        """ue(v), or se(v), which is as long."""
        for _ in range(count):
            self.unsigned()

    @property
    def is_over(self) -> bool:
        """Whether the end mark, and nothing else, is left."""
        rest = self._number & (1 << self._left) - 1
        return self._left > 0 and rest == 1 << self._left - 1


def _read_set(bits: _Bits) -> SequenceSet | None:
    profile = bits.take(8)
    bits.skip(8, 8)
    bits.unsigned()
    if profile not in _PROFILES or (profile == _HIGH and not _is_usual(bits)):
        return None
    bits.unsigned()
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.skip(1)
        bits.skip_numbers(2)
        bits.skip_numbers(bits.unsigned())
    bits.unsigned()
    bits.skip(1)
    width, height = 16 * (bits.unsigned() + 1), 16 * (bits.unsigned() + 1)
    height *= 2 - (frames_only := bits.take(1))
    bits.skip(1 if frames_only else 2)
    if bits.take(1):
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        width -= 2 * (left + right)
        height -= 2 * (2 - frames_only) * (top + bottom)
    is_square, num_reordered = _read_usability(bits) if bits.take(1) else (True, None)
    return SequenceSet(width, height, is_square, num_reordered) if bits.is_over else None


def _is_usual(bits: _Bits) -> bool:
    """Of the high profile: 4:2:0, 8 bits, no matrices of its own."""
    return bits.unsigned() == 1 and bits.unsigned() == bits.unsigned() == 0 and bits.take(2) == 0


def _read_usability(bits: _Bits) -> tuple[bool, int | None]:
    """(square pixels, reordered frames) as annex E has them."""
    is_square = True
    if bits.take(1):
        aspect = bits.take(8)
        sides = (bits.take(16), bits.take(16)) if aspect == _ANY_ASPECT else (1, 1)
        is_square = aspect in {0, _SQUARE} or (aspect == _ANY_ASPECT and sides[0] == sides[1])
    if bits.take(1):
        bits.skip(1)
    if bits.take(1):
        bits.skip(3, 1)
        if bits.take(1):
            bits.skip(24)
    if bits.take(1):
        bits.skip_numbers(2)
    if bits.take(1):
        bits.skip(32, 32, 1)
    if sum([_skip_buffering(bits), _skip_buffering(bits)]):
        bits.skip(1)
    bits.skip(1)
    if not bits.take(1):
        return is_square, None
    bits.skip(1)
    bits.skip_numbers(4)
    num_reordered, num_kept = bits.unsigned(), bits.unsigned()
    return is_square, num_reordered if num_reordered <= num_kept <= _MAX_REORDERED else None


def _skip_buffering(bits: _Bits) -> bool:
    """hrd_parameters, where they are there: whether they were."""
    if not bits.take(1):
        return False
    count = bits.unsigned() + 1
    bits.skip(4, 4)
    for _ in range(count):
        bits.skip_numbers(2)
        bits.skip(1)
    bits.skip(5, 5, 5, 5)
    return True


def _samples_add_nothing(path: str, stream: VideoStream, length_bytes: int) -> bool:
    """Whether the first samples hold no sequence parameter set, nor a word on the colours of those behind them."""
    entries = stream.index_entries
    with open(path, "rb", buffering=0) as file:
        for number in range(min(len(entries), _FIRST_SAMPLES)):
            entry = entries[number]
            if entry.pos < 0 or entry.size <= 0:
                return False
            head = os.pread(file.fileno(), min(entry.size, _HEAD_BYTES), entry.pos)
            for unit in units_by_length(head, length_bytes):
                kind = unit[0] % 32 if unit else None
                if kind in H264_SLICES:
                    break
                colours_follow = kind == H264_SEI and _ALTERNATIVE_TRANSFER in sei_types(unit[1:])
                if kind is None or kind in H264_SETS or colours_follow:
                    return False
            else:
                return False  # no slice among its first bytes
    return True
