"""One timeline's process as the event loop sees it: survey a long file, ask for its cells, notice its end.

Knows neither windows nor why some cells are wanted.
"""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TypeVar

from fovea.errors import DecodeCrashed, DecodeTimeout, Unavailable
from fovea.words import Mode
from video.children import file_wire, timeline_wire
from video.children.child import Child
from video.children.messages import Header
from video.clip import ClipRule, VideoLimits
from video.file.cells import CellPicture, FileFacts, Work

NICENESS = 10  # after the decoding of recognitions, before cameras
_READ_BUFFER_BYTES = 1 << 20
T = TypeVar("T")
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT})


class TimelineProcess:
    """A child that reads one file. Whoever `start`s it must `end` it. `silence_s`: after that it counts as hung."""

    def __init__(self, child: Child, silence_s: float) -> None:
        self._child = child
        self._silence_s = silence_s
        self._rule: ClipRule | None = None
        self.work = Work()

    @classmethod
    async def start(cls, *, address_space_bytes: int, silence_s: float) -> "TimelineProcess":
        """Raises OSError when it does not start."""
        child = await Child.start(
            "video.children.timeline_child",
            address_space_bytes=address_space_bytes,
            niceness=NICENESS,
            read_buffer_bytes=_READ_BUFFER_BYTES,
        )
        return cls(child, silence_s)

    @property
    def pid(self) -> int:
        return self._child.pid

    async def survey(self, path: Path, rule: ClipRule, limits: VideoLimits) -> FileFacts:
        """Raises VideoError kin, DecodeTimeout, DecodeCrashed, Unavailable."""
        self._rule = rule
        self._child.write(timeline_wire.open_request(str(path), rule, limits))
        header, _ = await self._message()
        return await self._sane(timeline_wire.read_facts, header)

    async def cells(
        self, mode: Mode, first: int, last: int, cell_s: Fraction
    ) -> AsyncGenerator[CellPicture | None, None]:
        """The pictures of cells [first, last) of `cell_s`, which is the same at every call; raises as `survey`.

        Read it to its end. A mode's calls go forward.
        """
        assert self._rule is not None, "nothing was opened"
        cell_us = cell_s * 10**6
        asked = {"mode": mode, "first": first, "last": last, "cell_us": [cell_us.numerator, cell_us.denominator]}
        self._child.write(asked)
        for index in range(first, last):
            header, payload = await self._message()
            if header.get("cell") != index:
                raise await self._lost()
            yield await self._sane(partial(timeline_wire.read_picture, payload=payload, rule=self._rule), header)
        header, _ = await self._message()
        self.work = await self._sane(timeline_wire.read_work, header)

    async def end(self) -> None:
        """Kill it and wait until it is reaped."""
        await self._child.end()

    async def _message(self) -> tuple[Header, bytes]:
        """What it says next, signs of life left out."""
        assert self._rule is not None
        header: Header = {}
        payload = b""
        try:
            while not header:
                async with asyncio.timeout(self._silence_s):
                    header = await self._child.header()
                    if "picture" in header:
                        payload = await self._child.payload(timeline_wire.payload_bytes(self._rule))
        except TimeoutError:
            self._child.kill()
            raise DecodeTimeout(
                f"decoding was ended: nothing came out of the decoder for {self._silence_s:g} s; send a part of the "
                "video, or one of lower resolution",
                limit_s=self._silence_s,
            ) from None
        except (EOFError, OSError, ValueError) as error:
            raise await self._lost() from error
        if "error" in header:
            raise await self._sane(file_wire.read_failure, header)
        return header, payload

    async def _sane(self, read: Callable[[Header], T], header: Header) -> T:
        """What it said, read; raises where it makes no sense."""
        try:
            return read(header)
        except (KeyError, TypeError, ValueError) as error:
            raise await self._lost() from error

    async def _lost(self) -> DecodeCrashed | Unavailable:
        """Whose fault it is that the process is gone: the decoder's, or of whoever killed it."""
        self._child.kill()
        if -await self._child.exit_status() in _CRASHES:
            return DecodeCrashed("the decoder crashed on this video; it may be damaged, re-encode it and send it again")
        return Unavailable(
            "the process that decoded this video was killed: the machine may be short of memory; try again",
            retry_after_s=5,
        )
