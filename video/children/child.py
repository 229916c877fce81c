"""A child process and the socket to it, as the event loop sees them: start, write, read, end. Knows not its program."""

import asyncio
import contextlib
import socket
import subprocess

from video.children.messages import LENGTH, MAX_HEADER_BYTES, Header, pack, unpack
from video.children.spawning import spawn

START_TIMEOUT_S = 30.0  # importing av and numpy takes 0.2 s on an idle machine


class Child:
    """A running child; whoever `start`s it must `end` it."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(
        cls, program: str, *, address_space_bytes: int, niceness: int, read_buffer_bytes: int = 1 << 16
    ) -> "Child":
        """Start the module `program` and wait for its first word. Raises OSError when it does not start."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                reader, writer = await asyncio.open_connection(sock=ours, limit=read_buffer_bytes)
            except BaseException:
                ours.close()
                raise
            try:
                process = spawn(program, theirs, address_space_bytes, niceness)
            except BaseException:
                writer.close()
                raise
        child = cls(process, reader, writer)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await child.header()
        except BaseException as error:
            await child.end()
            if isinstance(error, EOFError | ValueError | OSError):  # a TimeoutError is an OSError
                raise OSError(f"{program} did not start: exit status {process.returncode}") from error
            raise
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    async def exit_status(self) -> int:
        """Of a child that is ending, as `subprocess` gives it: the negative of a signal."""
        await self._reaped()
        status = self._process.returncode
        assert status is not None
        return status

    def write(self, header: Header, payload: bytes = b"") -> None:
        """Send a message, and what stands behind it; to a child that has died it goes nowhere: reading tells."""
        with contextlib.suppress(OSError):
            self._writer.write(pack(header) + payload)

    async def header(self) -> Header:
        """The next message. Raises EOFError or OSError when the child has gone, ValueError for nonsense."""
        (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"a message of {length} bytes is longer than {MAX_HEADER_BYTES}")
        return unpack(await self._reader.readexactly(length))

    async def payload(self, num_bytes: int) -> bytes:
        """The raw bytes that follow a message. Raises EOFError or OSError when the child has gone."""
        return await self._reader.readexactly(num_bytes)

    def kill(self) -> None:
        """SIGKILL; a stopped process dies of it too."""
        if self.is_alive:
            self._process.kill()

    async def end(self) -> None:
        """Kill it, close the socket and wait until the process is reaped."""
        self.kill()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await self._reaped()

    async def _reaped(self) -> None:
        pause_s = 0.001
        while self.is_alive:  # a kill takes effect within milliseconds
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.1)
