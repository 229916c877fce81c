"""What the glance's network says of frames: computed, or remembered where clips share them. Loads no torch.

Shape suffixes: B clips, T frames (of the clip, or looked at), N frames that are new, H rows, W columns, C channels,
h and w cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.recognizer import Frames, Shared
from models.runtime.base import Array, Arrays, Function


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """What the second part of a glance will look at."""

    shared: Shared
    known: dict[int, Array]
    """Features of those of its frames that were known at the first part, by key: memory may have moved on by then."""

    @classmethod
    def of(cls, shared: Shared | None, later: Sequence[tuple[int, ...]]) -> "Unseen | None":
        """After the first part; `later`: the indices of the second one, if there is such. None where nothing is
        shared."""
        if shared is None or not later:
            return None
        known = {key for part in later for key in _keys(shared, part)} & shared.memory.keys()
        return cls(shared, {key: shared.memory[key] for key in known})

    def alone(self) -> Shared:
        """The same clip, with a memory of its own."""
        return Shared(self.shared.keys_T, dict(self.known))


class GlanceMaps:
    """Maps of frames, by the glance's network: each different frame of a `Shared` clip is looked at once."""

    def __init__(self, arrays: Arrays, look: Function) -> None:
        self._arrays = arrays
        self._look = look

    def of(self, clips_THWC: Sequence[Frames], shared: Sequence[Shared | None], indices: tuple[int, ...]) -> Array:
        """maps_BTChw of these frames (or described_BTV), computed for those that no memory holds.

        A memory then keeps these, and of what it knew before what lies in its latest clip."""
        if all(one is None for one in shared):
            frames_NHWC = np.stack([clip_THWC[index] for clip_THWC in clips_THWC for index in indices])
            return split_rows(self._look(frames_NHWC), len(indices))
        rows: list[dict[int, Array]] = []  # of each clip: key to its map, or to its place among the new frames
        new_frames: list[Frames] = []
        for clip_THWC, one in zip(clips_THWC, shared, strict=True):
            row: dict[int, Array] = {}
            for index, key in zip(indices, _keys(one, indices), strict=True):
                if one is not None and key in one.memory:
                    row[key] = one.memory[key]
                elif key not in row:
                    row[key] = len(new_frames)
                    new_frames.append(clip_THWC[index])
            rows.append(row)
        new_NChw = self._look(np.stack(new_frames)) if new_frames else None
        maps_B: list[Array] = []
        for one, row in zip(shared, rows, strict=True):
            found = {key: _map_of(place, new_NChw) for key, place in row.items()}
            maps_B.append(self._arrays.stack([found[key] for key in _keys(one, indices)]))
            if one is not None:
                _forget_all_but(one.keys_T, one.memory)
                one.memory.update(
                    {
                        key: self._arrays.copy(map_Chw) if isinstance(row[key], int) else map_Chw
                        for key, map_Chw in found.items()
                    }
                )
        return self._arrays.stack(maps_B)


def num_new(shared: Shared, parts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """How many frames each part of a glance, in order, would have to look at."""
    known, new = set(shared.memory), []
    for part in parts:
        keys = set(_keys(shared, part))
        new.append(len(keys - known))
        known |= keys
    return tuple(new)


def split_rows(rows: Array, length: int) -> Array:
    """(N * length, ...) to (N, length, ...)."""
    return rows.reshape(-1, length, *rows.shape[1:])


def _keys(shared: Shared | None, indices: tuple[int, ...]) -> Sequence[int]:
    """What frames are told apart by."""
    return indices if shared is None else [shared.keys_T[index] for index in indices]


def _forget_all_but(keys_T: Sequence[int], memory: dict[int, Array]) -> None:
    for key in memory.keys() - set(keys_T):
        del memory[key]


def _map_of(place: Array, new_NChw: Array) -> Array:
    """A remembered map, or the one at this place among the new ones."""
    return new_NChw[place] if isinstance(place, int) else place
