"""Files that lost a part: taken for what is there, and the answer says what is not; refused below a stated share."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet

from fovea.errors import VideoLimitExceeded, VideoUnreadable
from tests.clips import cached_clip, frozen, moving_square, noise, read_number, write_clip
from tests.integration.video.whole_decode import sampled
from tests.packets import remuxed

RATE = 25


def small(folder: Path, name: str = "whole.mp4", **how: object) -> Path:
    return write_clip(folder / name, **{"size": (160, 128), "pattern": moving_square, **how})  # type: ignore[arg-type]


def with_empty_samples(data: bytes, count: int) -> bytes:
    """An MP4 of 50 samples whose last `count` hold no bytes."""
    changed = bytearray(data)
    place = data.index(b"stsz") + 4 + 8
    assert struct.unpack(">I", data[place : place + 4]) == (50,)
    for number in range(50 - count, 50):
        changed[place + 4 + 4 * number : place + 8 + 4 * number] = bytes(4)
    return bytes(changed)


def test_samples_of_no_bytes_are_missing_and_the_rest_is_a_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(with_empty_samples(small(tmp_path).read_bytes(), 3))
    clip = sampled(path, 16)
    assert clip.info.frames_missing == 3
    assert [read_number(frame) for frame in clip.frames_THWC] == [round(pts_s * RATE) for pts_s in clip.pts_s]


def test_with_too_few_samples_it_is_refused_with_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(with_empty_samples(small(tmp_path).read_bytes(), 20))
    with pytest.raises(VideoUnreadable, match=r"only 30 of 50 frames are in the file.* 80% are needed") as refusal:
        sampled(path, 8)
    assert "send all of it" not in str(refusal.value)  # the file is whole
    assert "export the video again" in str(refusal.value)


def test_an_mp4_that_breaks_off_is_to_be_sent_whole(tmp_path: Path) -> None:
    whole = small(tmp_path, container_options={"movflags": "faststart"}, pattern=noise).read_bytes()
    path = tmp_path / "a.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoUnreadable, match="breaks off early, send all of it"):
        sampled(path, 8)


@pytest.mark.parametrize("num_frames", [4, 8, 16])
@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mjpeg"), ("a.mkv", "mjpeg"), ("a.mp4", "mpeg4")])
def test_one_packet_of_zeros_is_one_damaged_frame_whatever_is_sampled(
    name: str, codec: str, num_frames: int, tmp_path: Path
) -> None:
    how = {"codec": codec, "pix_fmt": "yuvj420p" if codec == "mjpeg" else "yuv420p"}
    zeroed = remuxed(
        small(tmp_path, "whole" + name[1:], **how),
        tmp_path / name,
        lambda number, packet: zeros(packet) if number == 46 else packet,
    )
    clip = sampled(zeroed, num_frames)
    assert clip.info.frames_damaged == 1
    assert clip.info.duration_s == pytest.approx(2.0, abs=0.01)
    if codec == "mjpeg":  # no frame refers to another
        assert [read_number(frame) for frame in clip.frames_THWC] == [round(pts_s * RATE) for pts_s in clip.pts_s]
        assert 46 not in [read_number(frame) for frame in clip.frames_THWC]


def zeros(packet: Packet) -> Packet:
    empty = Packet(bytes(packet.size))
    empty.pts, empty.dts, empty.time_base = packet.pts, packet.dts, packet.time_base
    empty.is_keyframe = packet.is_keyframe
    return empty


def test_a_packet_that_the_decoder_refuses_is_left_out_and_counted(tmp_path: Path) -> None:
    def broken(number: int, packet: Packet) -> Packet:
        if number != 24:
            return packet
        other = zeros(packet)
        other.update(b"\x17" * packet.size)
        return other

    path = remuxed(small(tmp_path, "whole.avi", codec="mjpeg", pix_fmt="yuvj420p"), tmp_path / "a.avi", broken)
    clip = sampled(path, 50)
    assert clip.info.frames_damaged == 1
    numbers = [read_number(frame) for frame in clip.frames_THWC]
    assert numbers == [number if number != 24 else 25 for number in range(50)]  # the nearest there is


def test_a_recorder_that_died_in_its_last_fragment_left_a_video(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"}
    whole = small(tmp_path, gop=10, container_options=options, options={"bf": "0"}, pattern=noise).read_bytes()
    path = tmp_path / "a.mp4"
    path.write_bytes(whole[: whole.rindex(b"moof") + (len(whole) - whole.rindex(b"moof")) // 2])
    clip = sampled(path, 16)
    assert 1 <= clip.info.frames_missing < 10
    assert clip.info.duration_s == pytest.approx((50 - clip.info.frames_missing) / RATE, abs=0.05)


def test_a_whole_video_lost_nothing() -> None:
    info = sampled(cached_clip("h264.mp4"), 8).info
    assert (info.frames_damaged, info.frames_missing, info.clock_breaks) == (0, 0, 0)


def test_an_encrypted_video_is_called_encrypted(tmp_path: Path) -> None:
    key = "00112233445566778899aabbccddeeff"
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    with pytest.raises(VideoUnreadable, match="encrypted"):
        sampled(small(tmp_path, container_options=options), 8)


def test_an_encrypted_webm_is_called_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libvpx", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.metadata["title"] = "x" * 60
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(moving_square(number, 64, 64), format="rgb24")
            output.mux(stream.encode(frame.reformat(format="yuv420p")))
        output.mux(stream.encode(None))
    title = b"\x53\x6e\xbc" + b"x" * 60  # the track's Name gives its place to a ContentEncodings of the same length
    encryption = b"\x50\x35\x8a\x47\xe1\x81\x05\x47\xe2\x84abcd"  # AES, and the key's id
    encoding = b"\x50\x31\x81\x00\x50\x32\x81\x01\x50\x33\x81\x01" + encryption
    inner = b"\x62\x40" + bytes([0x80 | len(encoding)]) + encoding
    padding = 60 - len(inner) - 2
    inner += b"\xec" + bytes([0x80 | padding]) + bytes(padding)
    data = path.read_bytes()
    assert title in data
    assert sampled(path, 2).info.codec == "vp8"
    path.write_bytes(data.replace(title, b"\x6d\x80\xbc" + inner))
    with pytest.raises(VideoUnreadable, match="encrypted"):
        sampled(path, 2)


@pytest.mark.parametrize(("brand", "kind"), [("heic", "HEIC"), ("avif", "AVIF"), ("mif1", "HEIF")])
def test_a_picture_in_a_videos_container_is_called_a_picture(brand: str, kind: str, tmp_path: Path) -> None:
    path = small(tmp_path, seconds=0.04, container_options={"brand": brand})
    with pytest.raises(VideoUnreadable, match=f"a picture \\({kind}\\)"):
        sampled(path, 8)


def test_a_stream_that_begins_late_does_no_harm(tmp_path: Path) -> None:
    def static(number: int, width: int, height: int) -> np.ndarray:
        return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)

    # more than the 5 MB that libav reads ahead, so that it learns of the sound too late
    silent = small(tmp_path, "silent.flv", seconds=6.0, size=(320, 240), pattern=static, options={"qp": "10"})
    sounding = small(tmp_path, "sounding.flv", size=(320, 240), pattern=static, with_audio=True)
    assert silent.stat().st_size > 6_000_000
    path = tmp_path / "a.flv"
    path.write_bytes(silent.read_bytes() + sounding.read_bytes()[13:])
    clip = sampled(path, 8)
    assert clip.info.duration_s == pytest.approx(8.0, abs=0.05)


@pytest.mark.parametrize("options", [frozen(movflags="faststart"), frozen(movflags="frag_keyframe+empty_moov")])
def test_more_samples_than_any_video_has_are_refused_before_an_index_is_made(
    options: tuple[tuple[str, str], ...], tmp_path: Path
) -> None:
    data = bytearray(small(tmp_path, container_options=dict(options)).read_bytes())
    box = b"stsz" if b"moof" not in data else b"trun"
    place = data.index(box) + 4 + (8 if box == b"stsz" else 4)
    data[place : place + 4] = struct.pack(">I", 30_000_000)
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(VideoLimitExceeded, match="claims 30000"):
        sampled(path, 8)
