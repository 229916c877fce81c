"""One process for a camera, however many streams watch it: what is decoded is shared, where model and windows allow.

Streams share where source, patience and sampling are equal: the same URL and credentials, frames of the same size,
cells of the same length. A stream's `Tap` speaks as a camera's process does; each sees cells counted from its own first
one. All frames are decoded while any of them wants all.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from fovea.words import ErrorClass, Mode
from video.camera.live import Broken, CameraSource, Cell, Lost, Message, Opened, Patience, Picture, Progress, Sampling

log = logging.getLogger(__name__)

MAX_WAITING = 16  # messages for one stream; then all wait for it, and the camera's process leaves out frames

Wanted: TypeAlias = tuple[CameraSource, Patience, Sampling]


class Process(Protocol):
    """What shows one camera: `CameraProcess`, or a tap."""

    @property
    def is_alive(self) -> bool: ...

    def open(self, source: CameraSource, patience: Patience, sampling: Sampling, mode: Mode) -> None: ...

    def set_mode(self, mode: Mode) -> None: ...

    async def message(self) -> Message: ...

    async def end(self) -> None: ...


class SharedCameras:
    """All cameras of a replica; `start_process` starts a child."""

    def __init__(self, start_process: Callable[[], Awaitable[Process]]) -> None:
        self._start_process = start_process
        self._cameras: dict[Wanted, _Camera] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def start(self) -> "Tap":
        """For one stream."""
        return Tap(self)

    def _join(self, tap: "Tap", wanted: Wanted) -> "_Camera":
        camera = self._cameras.get(wanted)
        if camera is None:
            camera = self._cameras[wanted] = _Camera(wanted, self._start_process)
        camera.join(tap)
        return camera

    def _leave(self, tap: "Tap", camera: "_Camera") -> None:
        camera.leave(tap)
        if not camera.taps:
            del self._cameras[camera.wanted]
            ending = asyncio.create_task(camera.end())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _ended(self) -> None:
        """Until the processes that nobody needs any more are gone."""
        if self._ending:
            await asyncio.wait(set(self._ending))


class Tap:
    """A camera as one stream sees it."""

    is_alive = True  # a process that died is replaced behind it

    def __init__(self, cameras: SharedCameras) -> None:
        self._cameras = cameras
        self._camera: _Camera | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue(MAX_WAITING)
        self._view = _View()
        self.mode: Mode = "all"

    def open(self, source: CameraSource, patience: Patience, sampling: Sampling, mode: Mode) -> None:
        """Have the camera opened, unless another stream has it open already."""
        wanted = (source, patience, sampling)
        self.mode = mode
        self._drain()
        if self._camera is not None and self._camera.wanted != wanted:
            self._cameras._leave(self, self._camera)
        self._camera = self._cameras._join(self, wanted)

    def begin(self, view: "_View", opened: Opened | None) -> None:
        """From now on the camera is seen so; `opened` where it is open already."""
        self._view = view
        if opened is not None:
            self._messages.put_nowait(opened)

    def set_mode(self, mode: Mode) -> None:
        self.mode = mode
        if self._camera is not None:
            self._camera.choose_mode()

    async def message(self) -> Message:
        return await self._messages.get()

    async def take(self, message: Message) -> None:
        """The camera says so. Waits while too much waits here."""
        await self._messages.put(self._view.of(message))

    async def end(self) -> None:
        """Ends the process with the last of its streams."""
        if self._camera is not None:
            self._cameras._leave(self, self._camera)
            self._camera = None
        self._drain()
        await self._cameras._ended()

    def _drain(self) -> None:
        while not self._messages.empty():
            self._messages.get_nowait()


@dataclass(slots=True)
class _View:
    """How a stream sees cells: counted from its own first one, which shows the picture that there was."""

    first: int | None = 0  # index of its first cell; None: it joined later, and has seen none yet
    picture: Picture | None = None  # the latest when it joined
    before: Progress | None = None  # what was done before it joined
    cell_s: float = 0.0

    def of(self, message: Message) -> Message:
        match message:
            case Broken():
                self.first = 0  # the camera counts anew
            case Cell() as cell:
                return self._of_cell(cell)
        return message

    def _of_cell(self, cell: Cell) -> Cell:
        if self.first is None:
            self.first = cell.index
            cell = replace(cell, picture=cell.picture or self.picture)
        picture, progress, before = cell.picture, cell.progress, self.before
        if picture is not None and self.first:
            picture = replace(picture, pts_s=max(0.0, picture.pts_s - self.first * self.cell_s))
        if before is not None:
            decoded, dropped = before.frames_decoded, before.frames_dropped
            progress = replace(
                progress,
                frames_decoded=progress.frames_decoded - decoded,
                frames_dropped=progress.frames_dropped - dropped,
            )
        return Cell(cell.index - self.first, picture, progress)


class _Camera:
    """One process, and those who share it."""

    def __init__(self, wanted: Wanted, start_process: Callable[[], Awaitable[Process]]) -> None:
        self.wanted = wanted
        self.taps: list[Tap] = []
        self._listening: list[Tap] = []  # those that had it opened, and have not lost it yet
        self._start_process = start_process
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None  # from the order to open it until it is lost
        self._mode: Mode | None = None  # the process's; None: it is not open
        self._opened: Opened | None = None
        self._latest: Picture | None = None
        self._progress: Progress | None = None

    def join(self, tap: Tap) -> None:
        if tap not in self.taps:
            self.taps.append(tap)
        if self._listening:
            cell_us = self.wanted[2].cell_us
            tap.begin(_View(None, self._latest, self._progress, cell_us[0] / cell_us[1] / 1e6), self._opened)
        else:
            tap.begin(_View(), None)
            self._task = asyncio.create_task(self._show(self._task))
        self._listening.append(tap)
        self.choose_mode()

    def leave(self, tap: Tap) -> None:
        self.taps.remove(tap)
        if tap in self._listening:
            self._listening.remove(tap)
        self.choose_mode()

    def choose_mode(self) -> None:
        wanted = self._wanted_mode()
        if self._process is not None and self._mode not in {None, wanted}:
            self._mode = wanted
            self._process.set_mode(wanted)

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._process is not None:
            await self._process.end()

    def _wanted_mode(self) -> Mode:
        return "all" if any(tap.mode == "all" for tap in self._listening) else "keyframes"

    async def _show(self, before: asyncio.Task[None] | None) -> None:
        """Open it and pass on what it says, until it is lost."""
        if before is not None:
            await asyncio.wait([before])
        try:
            await self._lose(await self._shown())
        except OSError as error:
            log.error("%s", error)
            await self._lose(Lost(ErrorClass.CRASHED, "the process that decodes this camera does not start"))
        except Exception:  # the task's edge: those who share it go on
            log.exception("showing a camera failed")
            await self._lose(Lost(ErrorClass.CRASHED, "what shows this camera failed; the log says why"))

    async def _shown(self) -> Lost:
        """Raises OSError where its process does not start."""
        process = await self._running_process()
        self._mode = self._wanted_mode()
        process.open(*self.wanted, self._mode)
        while True:
            match await process.message():
                case Lost() as lost:
                    return lost
                case message:
                    self._note(message)
                    for tap in list(self._listening):
                        await tap.take(message)

    async def _running_process(self) -> Process:
        if self._process is not None and not self._process.is_alive:
            await self._process.end()
            self._process = None
        if self._process is None:
            self._process = await self._start_process()
        return self._process

    def _note(self, message: Message) -> None:
        """What those will want to know who join later."""
        match message:
            case Opened():
                self._opened = message
            case Broken():
                self._latest = None
            case Cell(picture=picture, progress=progress):
                self._latest, self._progress = picture or self._latest, progress

    async def _lose(self, lost: Lost) -> None:
        losing, self._listening = self._listening, []
        self._mode = self._opened = self._latest = self._progress = None
        for tap in losing:
            await tap.take(lost)
