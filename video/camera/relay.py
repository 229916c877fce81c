"""The one connection to a camera, with libav at its other end: what is asked and answered before pictures come is read.

libav itself tells a dead address from a slow camera badly, says "4xx" for every number, and follows "moved" to wherever
it leads, password in hand. So this process connects, once; libav talks to a socket of this process, and every byte is
handed on. Knows neither libav nor a codec.
"""

import contextlib
import os
import re
import select
import socket
import ssl
import threading

from fovea.words import ErrorClass
from video.camera.live import CameraLost, CameraSource, Patience
from video.camera.refusals import Refusal

CHUNK_BYTES = 1 << 16
MAX_ANSWER_BYTES = 1 << 18  # whoever says more before pictures come is not read, but handed on
CLOSE_S = 1.0  # to let a TEARDOWN through
_STATUS = re.compile(rb"RTSP/\d\.\d (\d{3})")
_NUMBER = re.compile(rb"^CSeq:\s*(\d+)", re.I | re.M)
_LENGTH = re.compile(rb"^Content-Length:\s*(\d+)", re.I | re.M)
_LOCATION = re.compile(rb"^Location:\s*(\S+)", re.I | re.M)
_TRANSPORT = re.compile(rb"^(Transport:[^\r\n]*)", re.I | re.M)
_DIGEST = re.compile(rb"^Authorization:\s*Digest", re.I | re.M)
_SOURCE = re.compile(rb";source=[^;,\r\n]*", re.I)


class Relay:
    """Connected when it is made. Use as a context; `port` of the loopback is what libav opens.

    Raises CameraLost when made: nobody there, or no certificate that verifies.
    """

    def __init__(self, source: CameraSource, patience: Patience) -> None:
        self._source = source
        self._camera = _secured(_connected(source, patience), source, patience)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._listener.settimeout(patience.open_s)
        self.port: int = self._listener.getsockname()[1]
        self.refusal: Refusal | None = None  # the latest answer, where it was one
        self.moved_to: str | None = None  # where the camera says it is now; nothing was sent there
        self.asked: str | None = None  # the method that the camera has not answered yet
        self.has_played = False
        self.has_hung_up = False  # the camera has, before it played
        host = f"[{source.host}]" if ":" in source.host else source.host
        self._root = f"{source.url.partition(':')[0]}://{host}:{source.port}".encode("ascii")
        self._methods: dict[bytes, str] = {}  # CSeq to what was asked
        self._unread = b""  # of the camera, an answer in part
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> "Relay":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """libav has closed its end: what it said last is still handed on."""
        self._thread.join(CLOSE_S)
        self._over.set()
        for end in (self._listener, self._camera):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._thread.join(CLOSE_S)

    # -- the thread

    def _run(self) -> None:
        try:
            with self._accepted() as libav:
                self._listener.close()
                try:
                    self._hand_on(libav)
                finally:
                    with contextlib.suppress(OSError):
                        self._camera.shutdown(socket.SHUT_RDWR)
        except (OSError, ValueError):  # an end was closed
            pass

    def _accepted(self) -> socket.socket:
        """libav's connection, and no other's: whoever else is on this machine gets nothing."""
        while True:
            connection, peer = self._listener.accept()
            if peer in _own_ends():
                connection.settimeout(None)
                return connection
            connection.close()

    def _hand_on(self, libav: socket.socket) -> None:
        while not self._over.is_set():
            ready = select.select([libav, self._camera], [], [])[0]
            if libav in ready:
                data = libav.recv(CHUNK_BYTES)
                if not data:
                    return
                self._camera.sendall(self._note_request(data))
            if self._camera in ready:
                data = self._received()
                if not data:
                    self.has_hung_up = not self.has_played
                    return
                if not self.has_played:
                    data = self._read(data)
                    if self.moved_to is not None:
                        return
                libav.sendall(data)

    def _received(self) -> bytes:
        data = self._camera.recv(CHUNK_BYTES)
        while isinstance(self._camera, ssl.SSLSocket) and self._camera.pending():
            data += self._camera.recv(CHUNK_BYTES)
        return data

    # -- what is said before pictures come

    def _note_request(self, data: bytes) -> bytes:
        """The request as the camera may see it; libav writes one at once.

        It names the camera as it was subscribed to, not this end of ours: servers of several names look at that. Not
        so where a digest was computed over libav's own words.
        """
        number = _NUMBER.search(data)
        if number is None:
            return data
        self.asked = data.split(b" ", 1)[0].decode("latin1")[:32]
        self._methods[number[1]] = self.asked
        if _DIGEST.search(data):
            return data
        line, end, rest = data.partition(b"\r\n")
        return line.replace(b"rtsp://127.0.0.1:%d" % self.port, self._root, 1) + end + rest

    def _read(self, data: bytes) -> bytes:
        """What libav may read of what came: whole answers, each looked at. A part of one waits for its other part."""
        self._unread += data
        passed = b""
        while not self.has_played and (size := _message_bytes(self._unread)) is not None:
            message, self._unread = self._unread[:size], self._unread[size:]
            passed += message if message.startswith(b"$") else self._note_answer(message)
        if self.has_played or len(self._unread) > MAX_ANSWER_BYTES:
            passed, self._unread = passed + self._unread, b""
        return passed

    def _note_answer(self, message: bytes) -> bytes:
        """The answer as libav may see it."""
        status, number = _STATUS.match(message), _NUMBER.search(message)
        if status is None:
            return message
        code, method = int(status[1]), self._methods.get(number[1] if number else b"", self.asked or "")
        self.asked = None
        if code >= 400:
            self.refusal = Refusal(method, code)
        elif self.refusal is not None and self.refusal.method == method:  # as after 401: with the password it went
            self.refusal = None
        if 300 <= code < 400 and (location := _LOCATION.search(message)):
            self.moved_to = location[1].decode("latin1")
        if method == "PLAY" and code == 200:
            self.has_played = True
        if method == "SETUP" and code == 200 and self._source.transport == "udp":
            return self._from_camera(message)
        return message

    def _from_camera(self, message: bytes) -> bytes:
        """UDP comes from, and its reports go to, the camera itself: libav thinks it is here, unless it is told."""
        told = b";source=" + self._source.address.encode("ascii")
        return _TRANSPORT.sub(lambda line: _SOURCE.sub(b"", line[1]) + told, message, count=1)


def _message_bytes(unread: bytes) -> int | None:
    """The length of the first message in `unread`; None where it is not all there."""
    if unread.startswith(b"$"):  # a packet of pictures
        size = 4 + int.from_bytes(unread[2:4], "big") if len(unread) >= 4 else 4
    else:
        end = unread.find(b"\r\n\r\n")
        if end < 0:
            return None
        length = _LENGTH.search(unread, 0, end + 2)
        size = end + 4 + (int(length[1]) if length else 0)
    return size if len(unread) >= size else None


def _connected(source: CameraSource, patience: Patience) -> socket.socket:
    try:
        return socket.create_connection((source.address, source.port), timeout=patience.connect_s)
    except ConnectionRefusedError:
        raise CameraLost(ErrorClass.REFUSED, f"nothing listens on port {source.port} of {source.host}") from None
    except TimeoutError:
        raise CameraLost(
            ErrorClass.UNREACHABLE, f"{source.host} does not answer within {patience.connect_s:g} s"
        ) from None
    except OSError as error:
        raise CameraLost(ErrorClass.UNREACHABLE, f"{source.host} cannot be reached: {error.strerror}") from None


def _secured(connection: socket.socket, source: CameraSource, patience: Patience) -> socket.socket:
    """With TLS for rtsps."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not source.url.startswith("rtsps:"):
        connection.settimeout(None)
        return connection
    try:
        connection.settimeout(patience.open_s)
        secured = _tls(source).wrap_socket(connection, server_hostname=source.host)
        secured.settimeout(None)
        return secured
    except ssl.SSLCertVerificationError as error:
        lost = CameraLost(
            ErrorClass.TLS,
            f"the certificate of {source.host} does not verify ({error.verify_message}); FOVEA_STREAM_CA_FILE names an "
            "authority of your own",
        )
    except (ssl.SSLError, ConnectionError):
        lost = CameraLost(ErrorClass.TLS, f"{source.host} speaks no TLS on port {source.port}, or none known here")
    except TimeoutError:
        lost = CameraLost(ErrorClass.TIMEOUT, f"{source.host} did not agree on TLS within {patience.open_s:g} s")
    except OSError as error:
        lost = CameraLost(ErrorClass.UNREACHABLE, f"{source.host} cannot be reached: {error.strerror}")
    connection.close()
    raise lost


def _tls(source: CameraSource) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if source.ca_file is not None:
        context.load_verify_locations(source.ca_file)
    if not source.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _own_ends() -> set[object]:
    """The local address of each TCP socket of this process."""
    found: set[object] = set()
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # most are no sockets
            connection = socket.socket(fileno=int(name))
            try:
                if connection.family == socket.AF_INET and connection.type == socket.SOCK_STREAM:
                    found.add(connection.getsockname())
            finally:
                connection.detach()  # it is somebody else's
    return found
