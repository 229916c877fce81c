"""Files that call every packet a keyframe: the pixels are still those of a full decode."""

from pathlib import Path
from typing import Any

import av
import pytest
from av.packet import Packet

from tests.clips import cached_clip, frozen, noise
from tests.integration.video.whole_decode import assert_as_a_whole_decode, sampled
from tests.packets import remuxed

# how the honest one is encoded, and the container that takes every packet for a keyframe
LIARS: dict[str, tuple[str, dict[str, Any]]] = {
    "mpeg4.mp4": (".avi", {"codec": "mpeg4"}),
    "mpeg4 with B-frames.mp4": (".mp4", {"codec": "mpeg4", "options": frozen(bf="2")}),
    "msmpeg4v2.avi": (".avi", {"codec": "msmpeg4v2"}),
    "msmpeg4v3.avi": (".mkv", {"codec": "msmpeg4"}),
    "wmv1.asf": (".asf", {"codec": "wmv1"}),
    "wmv2.asf": (".asf", {"codec": "wmv2"}),
    "flv1.flv": (".flv", {"codec": "flv"}),
    "h263.3gp": (".avi", {"codec": "h263", "size": (352, 288)}),
    "h264.mp4": (".mp4", {}),
    "h264.mkv": (".mkv", {}),
    "hevc.mp4": (".mp4", {"codec": "libx265", "options": frozen(x265_params="log-level=none:bframes=2")}),
    "mpeg2.mp4": (".mp4", {"codec": "mpeg2video", "options": frozen(bf="2")}),
    "vp8.webm": (".webm", {"codec": "libvpx"}),
    "vp9.webm": (".webm", {"codec": "libvpx-vp9"}),
}


def called_a_keyframe(_: int, packet: Packet) -> Packet:
    packet.is_keyframe = True
    return packet


@pytest.mark.parametrize("name", LIARS)
def test_where_every_packet_claims_to_be_a_keyframe_the_pixels_are_those_of_a_full_decode(
    name: str, tmp_path: Path
) -> None:
    suffix, how = LIARS[name]
    how = {"size": (160, 128), "gop": 30, **how}
    liar = remuxed(cached_clip("honest-" + name, pattern=noise, **how), tmp_path / f"a{suffix}", called_a_keyframe)
    assert_as_a_whole_decode(liar)


def test_an_avi_cut_before_its_index_is_decoded_from_true_keyframes(tmp_path: Path) -> None:
    whole = cached_clip("msmpeg4.avi", pattern=noise, codec="msmpeg4", size=(160, 128), gop=30).read_bytes()
    path = tmp_path / "a.avi"
    path.write_bytes(whole[: whole.rindex(b"idx1")])
    with av.open(str(path)) as container:  # else this tests nothing
        assert all(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    assert_as_a_whole_decode(path)


def test_true_keyframes_still_cost_one_decoded_frame_each() -> None:
    path = cached_clip("honest-dense.mp4", pattern=noise, codec="mpeg4", size=(160, 128), gop=5)
    assert sampled(path, 4).info.frames_decoded == 4
