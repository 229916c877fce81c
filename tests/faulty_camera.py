"""A hand-made RTSP camera for tests: H.264 over the RTSP connection, with the faults of cameras. Knows no service.

RTSP as in RFC 2326, H.264 in RTP as in RFC 6184 (single units and FU-A). What it was asked lies in `asked`.
"""

import base64
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from tests.clips import Pattern, moving_square

Unit = bytes  # a NAL unit
Picture = list[Unit]  # an access unit

RTP_CLOCK = 90_000
MAX_PAYLOAD_BYTES = 1300
SLICES, SPS, PPS = {1, 5}, 7, 8


@dataclass(frozen=True)
class Faults:
    """What is wrong with it. `clock` gives the camera's time in seconds for picture n of a play at `fps`."""

    clock: Callable[[int, float], float] = lambda number, fps: number / fps
    slots: int | None = None  # connections it takes at once; more are closed
    slot_held_s: float = 0.0  # after a close
    describe_s: float = 0.0  # before it answers DESCRIBE
    statuses: Mapping[str, str] = field(default_factory=dict)  # method to "453 Not Enough Bandwidth"
    location: str = ""  # with a status of 3xx
    keepalive: str = "200 OK"  # while it plays
    session_s: int = 60  # without a word after which it says that it forgets a session
    login: str = ""  # "user:password", basic
    joins_live: bool = False  # a play starts where the camera is, not with the first picture
    runs_s: float = 0.0  # how long it has been running already
    sends_parameters: bool = True  # in its description
    stall_after_s: float | None = None


@dataclass(frozen=True)
class Asked:
    method: str
    url: str
    headers: dict[str, str]  # names in small letters


def encoded(
    *,
    pictures: int = 120,
    fps: int = 10,
    gop: int = 10,
    size: tuple[int, int] = (320, 240),
    pattern: Pattern = moving_square,
    **options: str,
) -> list[Picture]:
    """Pictures by libx264, as cameras encode: no picture refers to a later one."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, fps), Fraction(fps)
    encoder.gop_size = gop
    encoder.options = {"tune": "zerolatency", "bf": "0", "sc_threshold": "0", "threads": "1"} | options
    packets = []
    for number in range(pictures):
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pattern(number, *size)), format="rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return [units_of(bytes(packet)) for packet in packets]


def units_of(annex_b: bytes) -> Picture:
    return [unit for unit in re.split(b"\0\0\0\1|\0\0\1", annex_b) if unit]


def without_keyframes(pictures: Sequence[Picture]) -> list[Picture]:
    """What a camera that sends none shows: neither IDR pictures, parameter sets nor recovery points."""
    kept = [[unit for unit in picture if unit[0] & 31 == 1] for picture in pictures]
    return [picture for picture in kept if picture]


def parameters(pictures: Sequence[Picture]) -> tuple[Unit, Unit]:
    found = {unit[0] & 31: unit for unit in reversed(pictures[0])}
    return found[SPS], found[PPS]


class FaultyCamera:
    """`pictures` in a loop at `fps`, to every client from the first one on, or from where it is (`joins_live`)."""

    def __init__(
        self, pictures: Sequence[Picture], sets: tuple[Unit, Unit], fps: float, faults: Faults, address: str, port: int
    ) -> None:
        self.faults = faults
        self.asked: list[Asked] = []
        self.connections = 0  # that were made, refused ones included
        self.pictures_sent = 0
        self._pictures, self._sets, self._fps = pictures, sets, fps
        self._began_s = time.monotonic()
        self._open: dict[socket.socket, None] = {}
        self._closed_s = float("-inf")
        self._listener = socket.create_server((address, port))
        self.address, self.port = self._listener.getsockname()[:2]
        self._thread = threading.Thread(target=self._serve, name="faulty-camera", daemon=True)
        self._thread.start()

    def url(self, *, path: str = "/cam", credentials: str = "") -> str:
        return f"rtsp://{credentials + '@' if credentials else ''}{self.address}:{self.port}{path}"

    def close(self) -> None:
        for connection in (self._listener, *list(self._open)):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            slots = self.faults.slots
            is_held = time.monotonic() - self._closed_s < self.faults.slot_held_s
            if slots is not None and (len(self._open) >= slots or is_held):
                connection.close()
                continue
            self._open[connection] = None
            threading.Thread(target=self._talk, args=(connection,), name="faulty-client", daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        over, lock = threading.Event(), threading.Lock()
        try:
            _Session(self, connection, over, lock).run()
        except OSError:
            pass
        finally:
            over.set()
            self._open.pop(connection, None)
            self._closed_s = time.monotonic()
            connection.close()


class _Session:
    """One client's connection."""

    def __init__(
        self, camera: FaultyCamera, connection: socket.socket, over: threading.Event, lock: threading.Lock
    ) -> None:
        self._camera = camera
        self._connection = connection
        self._over = over
        self._lock = lock
        self._plays = False

    def run(self) -> None:
        for method, url, headers in self._requests():
            self._camera.asked.append(Asked(method, url, headers))
            number = headers.get("cseq", "0")
            if self._plays and method in {"GET_PARAMETER", "OPTIONS"}:
                self._answer(number, self._camera.faults.keepalive)
            elif method == "TEARDOWN":
                self._answer(number)
                return
            else:
                self._handle(method, url, number, headers)

    def _requests(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        unread = b""
        while True:
            while b"\r\n\r\n" not in unread:
                data = self._connection.recv(65536)
                if not data:
                    return
                unread += data
                while unread[:1] == b"$" and len(unread) >= 4 + int.from_bytes(unread[2:4], "big"):
                    unread = unread[4 + int.from_bytes(unread[2:4], "big") :]  # a receiver's report
            head, unread = unread.split(b"\r\n\r\n", 1)
            first, *lines = head.decode("latin1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            yield first.split()[0], first.split()[1], headers

    def _handle(self, method: str, url: str, number: str, headers: dict[str, str]) -> None:
        faults = self._camera.faults
        if method == "DESCRIBE":
            self._over.wait(faults.describe_s)
        if method in faults.statuses:
            status = faults.statuses[method]
            self._answer(number, status, *([f"Location: {faults.location}"] if status.startswith("3") else []))
        elif faults.login and headers.get("authorization", "") != basic(faults.login):
            self._answer(number, "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"')
        elif method == "OPTIONS":
            self._answer(number, "200 OK", "Public: OPTIONS, DESCRIBE, SETUP, TEARDOWN, PLAY, GET_PARAMETER")
        elif method == "DESCRIBE":
            body = self._description()
            self._answer(number, "200 OK", "Content-Type: application/sdp", f"Content-Base: {url}/", body=body)
        elif method == "SETUP":
            transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
            self._answer(number, "200 OK", transport, f"Session: 12345678;timeout={faults.session_s}")
        elif method == "PLAY":
            self._answer(number, "200 OK", "Session: 12345678")
            self._plays = True
            threading.Thread(target=self._play, name="faulty-play", daemon=True).start()
        else:
            self._answer(number, "501 Not Implemented")

    def _answer(self, number: str, status: str = "200 OK", *headers: str, body: bytes = b"") -> None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {number}", *headers, *([f"Content-Length: {len(body)}"] if body else [])]
        with self._lock:
            self._connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def _description(self) -> bytes:
        sets = ",".join(base64.b64encode(one).decode() for one in self._camera._sets)
        sprop = f";sprop-parameter-sets={sets}" if self._camera.faults.sends_parameters else ""
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            f"a=rtpmap:96 H264/{RTP_CLOCK}\r\na=fmtp:96 packetization-mode=1{sprop}\r\na=control:trackID=0\r\n"
        ).encode()

    def _play(self) -> None:
        camera = self._camera
        sequence, stamp0 = random.randrange(60_000), random.randrange(2**31)
        began_s = time.monotonic()
        first = int((began_s - camera._began_s + camera.faults.runs_s) * camera._fps) if camera.faults.joins_live else 0
        number = 0
        with suppress(OSError):
            while not self._over.wait(max(0.0, began_s + number / camera._fps - time.monotonic())):
                stall_s = camera.faults.stall_after_s
                if stall_s is not None and time.monotonic() - began_s > stall_s:
                    self._over.wait(0.1)
                    continue
                picture = camera._pictures[(first + number) % len(camera._pictures)]
                stamp = (stamp0 + round(camera.faults.clock(number, camera._fps) * RTP_CLOCK)) % 2**32
                for payload, is_last in _payloads(picture):
                    head = struct.pack("!BBHII", 0x80, 96 | 0x80 * is_last, sequence % 2**16, stamp, 0x5EED)
                    sequence += 1
                    data = head + payload
                    with self._lock:
                        self._connection.sendall(struct.pack("!BBH", 0x24, 0, len(data)) + data)
                camera.pictures_sent += 1
                number += 1


def _payloads(picture: Picture) -> Iterator[tuple[bytes, bool]]:
    """RTP payloads of a picture, and whether each is its last."""
    for index, unit in enumerate(picture):
        is_last_unit = index == len(picture) - 1
        if len(unit) <= MAX_PAYLOAD_BYTES:
            yield unit, is_last_unit
            continue
        for at in range(1, len(unit), MAX_PAYLOAD_BYTES):
            is_last = at + MAX_PAYLOAD_BYTES >= len(unit)
            marks = 0x80 * (at == 1) | 0x40 * is_last
            head = bytes([unit[0] & 0xE0 | 28, marks | unit[0] & 31])
            yield head + unit[at : at + MAX_PAYLOAD_BYTES], is_last_unit and is_last


def basic(login: str) -> str:
    return f"Basic {base64.b64encode(login.encode()).decode()}"


@contextmanager
def faulty_camera(
    pictures: Sequence[Picture],
    *,
    sets: tuple[Unit, Unit] | None = None,
    fps: float = 10,
    address: str = "127.0.0.1",
    port: int = 0,
    **faults: Any,
) -> Iterator[FaultyCamera]:
    """`sets`: SPS and PPS, where `pictures` do not begin with them."""
    camera = FaultyCamera(pictures, sets or parameters(pictures), fps, Faults(**faults), address, port)
    try:
        yield camera
    finally:
        camera.close()
