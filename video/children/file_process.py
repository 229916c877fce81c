"""One decoding process as the event loop sees it: ask it for a clip, notice its end. Knows no queue and no policy."""

import asyncio
import signal
import time
from pathlib import Path

from fovea.errors import VideoError
from video.children import early_wire, file_wire
from video.children.child import Child
from video.children.messages import Header
from video.clip import Clip, ClipRule, DecodePrice, EarlyFrames, Look, VideoLimits

_MAX_UNREAD = 3  # "begun", the price and the answer; a child that says more has been taken over
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT})
_READ_BUFFER_BYTES = 1 << 22  # 18 frames of 224 x 224 are 2.7 MB


class ProcessLost(Exception):
    """The process ended, or said something that makes no sense. `began`: it had the request by then."""

    def __init__(self, *, began: bool) -> None:
        super().__init__("a decoding process was lost")
        self.began = began


class DecodeProcess:
    """A child that answers one request at a time; it is listened to while it idles, too. Needs a running loop."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._messages: asyncio.Queue[tuple[Header, bytes] | None] = asyncio.Queue()  # None: gone
        self._rule: ClipRule | None = None  # of the clip asked for: what follows its header
        self.gone = asyncio.Event()  # nothing more will come from it
        self.is_busy = False
        self.num_asked = 0
        self.price: DecodePrice | None = None  # of what was asked for last; None until its packets are read
        self.scanned_s: tuple[float, float] | None = None  # monotonic: when its packets began and ended to be read
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, *, address_space_bytes: int, niceness: int) -> "DecodeProcess":
        """Raises OSError when it does not start."""
        return cls(
            await Child.start(
                "video.children.file_child",
                address_space_bytes=address_space_bytes,
                niceness=niceness,
                read_buffer_bytes=_READ_BUFFER_BYTES,
            )
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    async def ask(
        self,
        path: Path,
        rule: ClipRule,
        limits: VideoLimits,
        look: Look = None,
        most_pixels: int | None = None,
        *,
        steps_back: bool = False,
        early: EarlyFrames | None = None,
    ) -> Clip | DecodePrice:
        """Decode `path` there, or learn its price where that is above `most_pixels`. See `file_wire.request`.

        Raises the VideoError the child answers, or ProcessLost.

        Left early (cancelled, timed out), it stays busy: let it `settle`, or kill it.
        """
        assert not self.is_busy
        self.is_busy = True
        self.num_asked += 1
        self.price = self.scanned_s = None
        self._rule = rule
        asked = file_wire.request(str(path), rule, limits, look, most_pixels, steps_back=steps_back)
        told, behind = ({}, b"") if early is None else early_wire.early(early)
        self._child.write(asked | told, behind)
        await self._message(began=False)
        began_s = time.monotonic()
        header, payload = await self._message(began=True)
        try:
            if "price" in header:
                self.price = file_wire.read_price(header)
                self.scanned_s = began_s, time.monotonic()
                header, payload = await self._message(began=True)
            if "held" in header:
                self.price = file_wire.read_held(header)
                self.is_busy = False
                return self.price
            is_failure = "error" in header
            answer = file_wire.read_failure(header) if is_failure else file_wire.read_answer(header, payload, rule)
        except (KeyError, TypeError, ValueError) as error:
            raise ProcessLost(began=True) from error
        self.is_busy = False
        if isinstance(answer, VideoError):
            raise answer
        return answer

    def follow(
        self,
        path: Path,
        rule: ClipRule,
        limits: VideoLimits,
        look: Look,
        num_bytes: int,
        most_pixels: int,
        end_from: int | None = None,
    ) -> None:
        """Have it decode what there is of a video while it arrives. `tell` it of more; what comes of it: `followed`."""
        assert not self.is_busy
        self.is_busy = True
        self.num_asked += 1
        self.price = self.scanned_s = None
        self._rule = rule
        self._child.write(early_wire.follow(str(path), rule, limits, look, num_bytes, most_pixels, end_from))

    async def followed(self) -> EarlyFrames | None:
        """Frames of the video that it follows; None where there are none. Raises ProcessLost."""
        assert self._rule is not None
        await self._message(began=False)
        header, payload = await self._message(began=True)
        try:
            early = early_wire.read_early(header, payload, self._rule)
        except (KeyError, TypeError, ValueError) as error:
            raise ProcessLost(began=True) from error
        self.is_busy = False
        return early

    def tell(self, header: Header) -> None:
        """Of the video that it follows."""
        self._child.write(header)

    async def settle(self) -> None:
        """Wait for the answer to a request whose asker has left, and forget it. Raises ProcessLost."""
        while self.is_busy:
            header, _ = await self._message(began=True)
            self.is_busy = not header.keys() & {"error", "info", "held", "early"}

    async def crashed(self) -> bool:
        """Of a process that is lost: whether the decoder brought it down, and nobody killed it."""
        return -await self._child.exit_status() in _CRASHES

    def kill(self) -> None:
        """SIGKILL; `gone` follows."""
        self._child.kill()

    async def end(self) -> None:
        """Kill it and wait until it is reaped and nobody listens any more."""
        self._listening.cancel()
        await asyncio.wait([self._listening])
        await self._child.end()

    async def _message(self, *, began: bool) -> tuple[Header, bytes]:
        message = await self._messages.get()
        if message is None:
            raise ProcessLost(began=began)
        return message

    async def _listen(self) -> None:
        """Receive messages until the process is gone, idle or not."""
        try:
            while self._messages.qsize() <= _MAX_UNREAD:
                header = await self._child.header()
                payload = b""
                if "info" in header and self._rule is not None:
                    payload = await self._child.payload(file_wire.payload_bytes(header, self._rule))
                elif "early" in header and self._rule is not None:
                    payload = await self._child.payload(early_wire.payload_bytes(header, self._rule))
                self._messages.put_nowait((header, payload))
        except (EOFError, ValueError, KeyError, TypeError, OSError):
            pass  # it ended, or speaks nonsense: either way it is lost
        finally:
            self.kill()
            self.gone.set()
            self._messages.put_nowait(None)
