"""Parameter sets that come once, in packets that sampling leaves out: the pixels are those of a full decode."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clips import noise, write_clip
from tests.integration.video.whole_decode import assert_as_a_whole_decode, sampled
from tests.packets import Coded, encoded, without_units, written

X264 = "bframes=0:scenecut=0:"
X265 = "log-level=none:bframes=0:scenecut=0:"


def is_h264_set(first: int) -> bool:
    return first & 31 in {7, 8}


def is_hevc_set(first: int) -> bool:
    return first >> 1 & 63 in {32, 33, 34}


CODERS: dict[str, tuple[Callable[[int], bool], tuple[dict[str, str], dict[str, str]]]] = {
    "libx264": (is_h264_set, ({"x264-params": X264 + "cabac=1"}, {"x264-params": X264 + "cabac=0:8x8dct=0"})),
    "libx265": (is_hevc_set, ({"x265-params": X265 + "ref=3"}, {"x265-params": X265 + "ref=1:ctu=16:no-sao=1"})),
}


def two_halves(codec: str, second_size: tuple[int, int] = (160, 128)) -> list[Coded]:
    """Frames 0 to 49 and 50 to 99, coded in two ways; each way's parameter sets come once, at its beginning."""
    is_set, (before, after) = CODERS[codec]
    first = encoded(codec, pattern=noise, options=before)
    second = encoded(codec, pattern=noise, first=50, size=second_size, options=after)
    return without_units(first, is_set) + without_units(second, is_set)


@pytest.mark.parametrize("codec", CODERS)
@pytest.mark.parametrize("second_size", [(160, 128), (128, 96)])
def test_parameter_sets_sent_once_reach_the_decoder(codec: str, second_size: tuple[int, int], tmp_path: Path) -> None:
    path = written(tmp_path / "a.ts", codec, two_halves(codec, second_size))
    assert_as_a_whole_decode(path)
    assert sampled(path, 5).info.frames_decoded < 50  # else nothing was left out


def without_sequence_headers(packets: list[Coded]) -> list[Coded]:
    first, *others = packets
    return [
        first,
        *(
            replace(packet, data=packet.data[packet.data.find(b"\0\0\1\xb8") :]) if packet.is_key else packet
            for packet in others
        ),
    ]


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_an_mpeg_2_sequence_header_sent_once_reaches_the_decoder(suffix: str, tmp_path: Path) -> None:
    matrix = ",".join(["8"] + ["40"] * 63)
    first = encoded("mpeg2video", pattern=noise)
    second = encoded("mpeg2video", pattern=noise, first=50, options={"intra_matrix": matrix})
    path = written(
        tmp_path / f"a{suffix}", "mpeg2video", without_sequence_headers(first) + without_sequence_headers(second)
    )
    assert_as_a_whole_decode(path)


def test_a_sequence_header_of_flv_reaches_the_decoder(tmp_path: Path) -> None:
    parts = [
        write_clip(tmp_path / f"{place}.flv", size=(160, 128), pattern=noise, start_s=2.0 * place, options=options)
        for place, options in enumerate(
            [{"x264-params": X264 + "cabac=1:keyint=10"}, {"x264-params": X264 + "cabac=0:8x8dct=0:keyint=10"}]
        )
    ]
    path = tmp_path / "a.flv"
    path.write_bytes(parts[0].read_bytes() + parts[1].read_bytes()[13:])  # less the second one's file header
    assert_as_a_whole_decode(path)
    assert sampled(path, 5).info.frames_decoded < 50
