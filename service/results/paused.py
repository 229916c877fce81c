"""Videos that were left between two steps: what the recognizer knows of them, to go on from. Knows no request.

Whoever takes one has it alone, since a state and its frames are written into; it is given back when that is over.
"""

import dataclasses
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cachetools import TTLCache

from service.results.held import HeldSteps
from video.clip import Clip


@dataclass(frozen=True, slots=True, eq=False)
class Paused:
    """One video after the last of its `held` steps. `clip` has its frames, or those that were decoded so far."""

    held: HeldSteps
    state: Any  # the recognizer's
    clip: Clip

    @property
    def num_bytes(self) -> int:
        """Of all arrays that it keeps alive, each counted once."""
        found = {id(self.clip.frames_THWC): self.clip.frames_THWC.nbytes}
        for field in dataclasses.fields(self.state) if dataclasses.is_dataclass(self.state) else ():
            value = getattr(self.state, field.name)
            found[id(value)] = getattr(value, "nbytes", 0)
        return sum(found.values())


class PausedVideos:
    """`max_bytes` of them, each for `ttl_s`; the one that was not asked for the longest goes first."""

    def __init__(self, *, max_bytes: int, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self._kept: TTLCache[str, Paused] = TTLCache(max_bytes, ttl_s, getsizeof=lambda paused: paused.num_bytes)

    @property
    def num_bytes(self) -> int:
        return int(self._kept.currsize)

    def take(self, key: str) -> Paused | None:
        """It is the caller's alone from now on."""
        paused = self._get(key)
        with suppress(KeyError):  # its time was over a moment ago
            del self._kept[key]
        return paused

    def keep(self, key: str, paused: Paused) -> None:
        """Of two with the same key the one that is further stays; one larger than all the room is not kept."""
        there = self._get(key)
        is_further = there is None or len(there.held.steps) <= len(paused.held.steps)
        if is_further and paused.num_bytes <= self._kept.maxsize:
            self._kept[key] = paused

    def forget_old(self) -> None:
        """Those whose time is over."""
        self._kept.expire()

    def _get(self, key: str) -> Paused | None:
        try:
            return self._kept[key]
        except KeyError:
            return None
