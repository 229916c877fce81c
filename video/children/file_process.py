"""One decoding process as the event loop sees it: start, ask, notice its end, end it. Knows no queue and no policy."""

import asyncio
import contextlib
import socket
import subprocess
from pathlib import Path

from fovea.errors import VideoError
from video.children import file_wire as wire
from video.children.spawning import spawn
from video.clip import Clip, ClipRule, VideoLimits

START_TIMEOUT_S = 30.0  # importing av and numpy takes 0.2 s on an idle machine

_MOST_UNREAD = 2  # "begun" and the answer; a child that says more has been taken over
_READ_BUFFER_BYTES = 1 << 22  # 18 frames of 224 x 224 are 2.7 MB


class ProcessLost(Exception):
    """The process ended, or said something that makes no sense. `began`: it had the request by then."""

    def __init__(self, *, began: bool) -> None:
        super().__init__("a decoding process was lost")
        self.began = began


class DecodeProcess:
    """A child with one socket to it; answers one request at a time."""

    def __init__(self, process: "subprocess.Popen[bytes]", connection: socket.socket) -> None:
        self._process = process
        self._connection = connection
        self._messages: asyncio.Queue[tuple[wire.Header, bytearray] | None] = asyncio.Queue()  # None: gone
        self._payload_bytes = 0  # what follows the header of the clip asked for
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self.gone = asyncio.Event()  # nothing more will come from it
        self.is_busy = False
        self.num_asked = 0

    @classmethod
    async def start(cls, *, address_space_bytes: int, niceness: int) -> "DecodeProcess":
        """Raises OSError when it does not start."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = spawn("video.children.file_child", theirs, address_space_bytes, niceness)
            except BaseException:
                ours.close()
                raise
        child = cls(process, ours)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await child._connect()
        except BaseException as error:
            await child.end()
            if isinstance(error, ProcessLost | TimeoutError):
                raise OSError(f"a decoding process did not start: exit status {process.returncode}") from error
            raise
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, path: Path, rule: ClipRule, limits: VideoLimits) -> Clip:
        """Decode `path` there. Raises the VideoError the child answers, or ProcessLost.

        Left early (cancelled, timed out), it stays busy: let it `settle`, or kill it.
        """
        assert not self.is_busy
        assert self._writer is not None
        self.is_busy = True
        self.num_asked += 1
        self._payload_bytes = wire.payload_bytes(rule)
        self._writer.write(wire.pack(wire.request(str(path), rule, limits)))
        await self._message(began=False)
        header, payload = await self._message(began=True)
        try:
            answer = wire.read_failure(header) if "error" in header else wire.read_answer(header, payload, rule)
        except (KeyError, TypeError, ValueError) as error:
            raise ProcessLost(began=True) from error
        self.is_busy = False
        if isinstance(answer, VideoError):
            raise answer
        return answer

    async def settle(self) -> None:
        """Wait for the answer to a request whose asker has left, and forget it. Raises ProcessLost."""
        while self.is_busy:
            header, _ = await self._message(began=True)
            self.is_busy = not ("error" in header or "info" in header)

    def kill(self) -> None:
        """SIGKILL; `gone` follows. A stopped process dies of it too."""
        if self._process.returncode is None:
            self._process.kill()

    async def end(self) -> None:
        """Kill it, close the socket and wait until the process is reaped."""
        self.kill()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        else:
            self._connection.close()
        pause_s = 0.001
        while self._process.poll() is None:  # a kill takes effect within milliseconds
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.1)

    async def _connect(self) -> None:
        reader, self._writer = await asyncio.open_connection(sock=self._connection, limit=_READ_BUFFER_BYTES)
        self._listening = asyncio.create_task(self._listen(reader))
        await self._message(began=False)

    async def _message(self, *, began: bool) -> tuple[wire.Header, bytearray]:
        message = await self._messages.get()
        if message is None:
            raise ProcessLost(began=began)
        return message

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Receive messages until the process is gone, idle or not."""
        try:
            while True:
                (length,) = wire.LENGTH.unpack(await reader.readexactly(wire.LENGTH.size))
                if length > wire.MAX_HEADER_BYTES or self._messages.qsize() > _MOST_UNREAD:
                    break
                header = wire.unpack(await reader.readexactly(length))
                payload = await reader.readexactly(self._payload_bytes) if "info" in header else b""
                self._messages.put_nowait((header, bytearray(payload)))  # writable: torch shares it
        except (asyncio.IncompleteReadError, ValueError, OSError):
            pass  # it ended, or speaks nonsense: either way it is lost
        finally:
            self.kill()
            self.gone.set()
            self._messages.put_nowait(None)
