"""One camera's process as the event loop sees it: start, open, listen, notice its end, end it. Knows no policy."""

import asyncio
import contextlib
import socket
import subprocess

from fovea.words import ErrorClass, Mode
from video.camera.live import CameraSource, Lost, Message, Patience, Sampling
from video.children import camera_wire
from video.children import file_wire as wire
from video.children.file_process import START_TIMEOUT_S
from video.children.spawning import spawn

# A hundred cameras that all have something to decode must not outweigh the one process that answers for them.
NICENESS = 15
SLACK_S = 10.0  # beyond what its own time limits allow, before a silent process counts as hung


class CameraProcess:
    """A child with one socket to it. `messages` yields what it says, from opening to `Lost`."""

    def __init__(self, process: "subprocess.Popen[bytes]", connection: socket.socket) -> None:
        self._process = process
        self._connection = connection
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @classmethod
    async def start(cls, *, address_space_bytes: int) -> "CameraProcess":
        """Raises OSError when it does not start."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = spawn("video.children.camera_child", theirs, address_space_bytes, NICENESS)
            except BaseException:
                ours.close()
                raise
        child = cls(process, ours)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                child._reader, child._writer = await asyncio.open_connection(sock=ours)
                await child._header()
        except BaseException as error:
            await child.end()
            if isinstance(error, EOFError | ValueError | TimeoutError):
                raise OSError(f"a camera's process did not start: exit status {process.returncode}") from error
            raise
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def open(self, source: CameraSource, patience: Patience, sampling: Sampling, mode: Mode) -> None:
        """Have it open the camera; then listen with `message`."""
        self._write(wire.pack(camera_wire.open_request(source, patience, sampling, mode)))
        self._sampling = sampling
        cell_s = sampling.cell_us[0] / sampling.cell_us[1] / 1e6
        self._silence_s = patience.connect_s + patience.open_s + 2 * patience.stall_s + cell_s + SLACK_S

    def set_mode(self, mode: Mode) -> None:
        self._write(wire.pack({"mode": mode}))

    async def message(self) -> Message:
        """What it says next. A process that died, hangs or speaks nonsense is killed and counts as `Lost`."""
        try:
            async with asyncio.timeout(self._silence_s):
                header = await self._header()
                payload = b""
                if "picture" in header:
                    assert self._reader is not None
                    payload = await self._reader.readexactly(camera_wire.payload_bytes(self._sampling.rule))
            return camera_wire.unpack(header, payload, self._sampling.rule)
        except TimeoutError:
            self.kill()
            return Lost(ErrorClass.CRASHED, "the process that decoded this camera hung; it is replaced")
        except (EOFError, OSError, ValueError, KeyError, TypeError):
            self.kill()
            return Lost(ErrorClass.CRASHED, "the process that decoded this camera died; it is replaced")

    def kill(self) -> None:
        """SIGKILL; a stopped process dies of it too."""
        if self._process.poll() is None:
            self._process.kill()

    async def end(self) -> None:
        """Kill it, close the socket and wait until the process is reaped."""
        self.kill()
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        else:
            self._connection.close()
        pause_s = 0.001
        while self._process.poll() is None:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.1)

    async def _header(self) -> wire.Header:
        assert self._reader is not None
        (length,) = wire.LENGTH.unpack(await self._reader.readexactly(wire.LENGTH.size))
        if length > wire.MAX_HEADER_BYTES:
            raise ValueError("a message of a camera's process is too long")
        return wire.unpack(await self._reader.readexactly(length))

    def _write(self, data: bytes) -> None:
        assert self._writer is not None
        with contextlib.suppress(OSError):  # it has died: `message` tells
            self._writer.write(data)
