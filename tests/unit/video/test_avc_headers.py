"""A sequence parameter set tells size, aspect and order, or nothing at all."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clips import cached_clip, frozen
from video.file.avc_headers import SequenceSet, only_set, read_set


def record_of(path: Path) -> bytes:
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.extradata or b""


def set_in(record: bytes) -> bytes:
    return record[8 : 8 + int.from_bytes(record[6:8])]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"options": frozen(x264_params="bframes=0")}, SequenceSet(320, 240, True, 0)),
        ({"options": frozen(x264_params="bframes=2:b-pyramid=none:b-adapt=0")}, SequenceSet(320, 240, True, 1)),
        ({"options": frozen(x264_params="bframes=5:b-pyramid=normal")}, SequenceSet(320, 240, True, 2)),
        ({"size": (322, 182), "options": frozen(profile="baseline")}, SequenceSet(322, 182, True, 0)),
        ({"pixel_aspect": Fraction(4, 3), "options": frozen(bf="0")}, SequenceSet(320, 240, False, 0)),
        ({"pixel_aspect": Fraction(117, 100), "options": frozen(bf="0")}, SequenceSet(320, 240, False, 0)),
        (
            {
                "size": (318, 236),
                "options": frozen(flags="+ildct+ilme", bf="0", x264_params="nal-hrd=vbr:vbv-maxrate=9"),
            },
            SequenceSet(318, 236, True, 0),
        ),
    ],
)
def test_a_set_tells_what_its_encoder_was_told(how: dict[str, object], told: SequenceSet) -> None:
    assert only_set(record_of(cached_clip("set.mp4", seconds=0.4, **how))) == told


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv422p", "yuv420p10le"])
def test_other_formats_are_not_told(pix_fmt: str) -> None:
    assert only_set(record_of(cached_clip("other.mp4", seconds=0.1, pix_fmt=pix_fmt))) is None


def test_a_set_that_breaks_off_tells_nothing() -> None:
    record = record_of(cached_clip("broken-off.mp4", seconds=0.1))
    whole = set_in(record)
    assert read_set(whole) is not None
    for length in range(len(whole)):
        assert read_set(whole[:length]) is None
        assert only_set(record[: 8 + length]) is None


def test_of_two_sets_neither_is_taken() -> None:
    record = record_of(cached_clip("broken-off.mp4", seconds=0.1))
    whole = set_in(record)
    two = record[:5] + b"\xe2" + 2 * (len(whole).to_bytes(2) + whole) + record[8 + len(whole) :]
    assert only_set(two) is None


def test_a_set_longer_than_any_encoder_writes_is_left() -> None:
    whole = set_in(record_of(cached_clip("broken-off.mp4", seconds=0.1)))
    assert read_set(whole) is not None
    assert read_set(whole[:4] + bytes(1 << 16)) is None


@given(st.binary(max_size=80))
@settings(max_examples=500, deadline=None)
def test_whatever_stands_there_is_read_or_left(content: bytes) -> None:
    for told in (only_set(content), read_set(b"\x67" + content), only_set(b"\x01BC\x00\xff\xe1\x00\x20g" + content)):
        assert told is None or (told.num_reordered or 0) <= 16
