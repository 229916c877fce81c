"""Packets of one keyframe belong together, whatever time a camera gives them."""

from fractions import Fraction

from av.packet import Packet

from video.camera.arrivals import Arrival, continues_picture, whole_keyframes

START = b"\0\0\0\1"
SETS = START + bytes([0x67, 1, 2]) + START + bytes([0x68, 3])
FIRST, SECOND = START + bytes([0x65, 0x88, 9]), START + bytes([0x65, 0x40, 9])  # first_mb_in_slice: 0; 1
BETWEEN = START + bytes([0x41, 0x9A, 9])
H265_SETS = START + bytes([0x40, 1, 5])
H265_FIRST, H265_SECOND = START + bytes([0x26, 1, 0xAF]), START + bytes([0x26, 1, 0x20])


def arrival(data: bytes, pts: int | None, *, is_keyframe: bool = True) -> Arrival:
    packet = Packet(data)
    packet.pts, packet.time_base, packet.is_keyframe = pts, Fraction(1, 90_000), is_keyframe
    return Arrival(packet, 0.0, True)


def put_together(*arrived: Arrival, codec: str = "h264") -> list[bytes]:
    return [bytes(one.packet) for one in whole_keyframes(arrived, codec)]


def test_the_slices_of_a_keyframe_come_as_one() -> None:
    between = arrival(BETWEEN, 7, is_keyframe=False)
    told = put_together(arrival(SETS + FIRST, None), arrival(SETS + SECOND, 5), arrival(SETS + SECOND, 5), between)
    assert told == [SETS + FIRST + SETS + SECOND + SETS + SECOND, BETWEEN]
    told = put_together(arrival(H265_SETS + H265_FIRST, 5), arrival(H265_SECOND, 5), codec="hevc")
    assert told == [H265_SETS + H265_FIRST + H265_SECOND]


def test_keyframes_of_a_camera_whose_clock_stands_still_stay_apart() -> None:
    assert put_together(*[arrival(SETS + FIRST, 5)] * 3) == [SETS + FIRST] * 3
    assert put_together(*[arrival(H265_SETS + H265_FIRST, 5)] * 3, codec="hevc") == [H265_SETS + H265_FIRST] * 3
    assert put_together(*[arrival(b"\xff\xd8", 5)] * 3, codec="mjpeg") == [b"\xff\xd8"] * 3


def test_a_packet_without_a_slice_continues_no_picture() -> None:
    assert not continues_picture(SETS, "h264")
    assert not continues_picture(b"", "h264")
    assert not continues_picture(START, "hevc")
