"""One camera's process as the event loop sees it: open a camera, listen, notice its end. Knows no policy."""

import asyncio
from dataclasses import dataclass

from fovea.words import ErrorClass, Mode
from video.camera.live import CameraSource, Lost, Message, Patience, Sampling
from video.children import camera_wire
from video.children.child import Child
from video.clip import ClipRule

# A hundred cameras that all have something to decode must not outweigh the one process that answers for them.
NICENESS = 15
SLACK_S = 10.0  # beyond what its own time limits allow, before a silent process counts as hung


@dataclass(frozen=True, slots=True)
class _Watch:
    """What it was asked to open last."""

    rule: ClipRule
    silence_s: float  # beyond which the process counts as hung


class CameraProcess:
    """A child that shows one camera. `message` yields what it says, from opening to `Lost`."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._watch: _Watch | None = None  # None until `open`

    @classmethod
    async def start(cls, *, address_space_bytes: int) -> "CameraProcess":
        """Raises OSError when it does not start."""
        return cls(
            await Child.start("video.children.camera_child", address_space_bytes=address_space_bytes, niceness=NICENESS)
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_alive(self) -> bool:
        return self._child.is_alive

    def open(self, source: CameraSource, patience: Patience, sampling: Sampling, mode: Mode) -> None:
        """Have it open the camera; then listen with `message`."""
        cell_s = sampling.cell_us[0] / sampling.cell_us[1] / 1e6
        silence_s = patience.connect_s + patience.open_s + 2 * patience.stall_s + cell_s + SLACK_S
        self._watch = _Watch(sampling.rule, silence_s)
        self._child.write(camera_wire.open_request(source, patience, sampling, mode))

    def set_mode(self, mode: Mode) -> None:
        self._child.write({"mode": mode})

    async def message(self) -> Message:
        """What it says next. A process that died, hangs or speaks nonsense is killed and counts as `Lost`."""
        watch = self._watch
        assert watch is not None, "nothing was opened"
        try:
            async with asyncio.timeout(watch.silence_s):
                header = await self._child.header()
                payload = b""
                if "picture" in header:
                    payload = await self._child.payload(camera_wire.payload_bytes(watch.rule))
            return camera_wire.unpack(header, payload, watch.rule)
        except TimeoutError:
            self.kill()
            return Lost(ErrorClass.CRASHED, "the process that decoded this camera hung; it is replaced")
        except (EOFError, OSError, ValueError, KeyError, TypeError):
            self.kill()
            return Lost(ErrorClass.CRASHED, "the process that decoded this camera died; it is replaced")

    def kill(self) -> None:
        self._child.kill()

    async def end(self) -> None:
        """Kill it and wait until it is reaped."""
        await self._child.end()
