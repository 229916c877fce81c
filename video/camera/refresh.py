"""Which parts of a picture are true where decoding began without a keyframe: pure arithmetic on motion vectors.

Cameras with intra refresh send no keyframe: a stripe of each picture refers to no other, and wanders. A block is true
where it refers to nothing, or only to blocks that were true in the picture before. Once all are, pictures are as good
as after a keyframe. Knows no packet and no codec. Shape suffixes: R rows and C columns of blocks, M motion vectors.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_PX = 8
SWEEPS = 2  # blocks that refer to nothing may still be predicted from untrue neighbours: a second sweep mends those


class Refresh:
    """Of one picture size. `is_whole` once every part of the picture was sent anew."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self._rows, self._columns = -(-height_px // BLOCK_PX), -(-width_px // BLOCK_PX)
        self._true_RC = np.zeros((self._rows, self._columns), bool)
        self._sweeps = 0

    @property
    def is_whole(self) -> bool:
        return self._sweeps >= SWEEPS

    def note(self, vectors_M: NDArray[Any] | None) -> None:
        """The next picture's motion vectors, as libav exports them; None where no block refers to another picture."""
        if vectors_M is None:
            self._sweeps = SWEEPS
            return
        self._true_RC = self._after(vectors_M)
        if self._true_RC.all():
            self._sweeps += 1
            self._true_RC[:] = False

    def _after(self, vectors_M: NDArray[Any]) -> NDArray[np.bool_]:
        untrue_RC = np.zeros((self._rows + 1, self._columns + 1), np.int64)  # summed over all blocks above and left
        untrue_RC[1:, 1:] = (~self._true_RC).cumsum(0).cumsum(1)
        width_M, height_M = vectors_M["w"].astype(int), vectors_M["h"].astype(int)
        left_M, right_M = _blocks(vectors_M["src_x"], width_M, self._columns)
        top_M, bottom_M = _blocks(vectors_M["src_y"], height_M, self._rows)
        is_untrue_M = (
            untrue_RC[bottom_M, right_M] - untrue_RC[top_M, right_M] - untrue_RC[bottom_M, left_M]
            + untrue_RC[top_M, left_M]
        ) > 0  # fmt: skip
        after_RC = np.ones((self._rows, self._columns), bool)
        left_M, right_M = _blocks(vectors_M["dst_x"], width_M, self._columns)
        top_M, bottom_M = _blocks(vectors_M["dst_y"], height_M, self._rows)
        for index in np.flatnonzero(is_untrue_M):
            after_RC[top_M[index] : bottom_M[index], left_M[index] : right_M[index]] = False
        return after_RC


def _blocks(
    centre_px_M: NDArray[Any], size_px_M: NDArray[np.int64], num_blocks: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First block, and the one after the last, that pieces of this centre and size touch; edges reach outwards."""
    first_px_M = centre_px_M.astype(np.int64) - size_px_M // 2
    first_M = np.clip(first_px_M // BLOCK_PX, 0, num_blocks - 1)
    last_M = np.clip((first_px_M + size_px_M - 1) // BLOCK_PX, 0, num_blocks - 1)
    return first_M, last_M + 1
