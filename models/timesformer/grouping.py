"""Which tokens attend to which: the patches of a clip, laid out in groups that attend within themselves.

Pure shapes: knows no weights. Each scheme of the paper is a row of steps, taken one after the other (Figure 2; section
3.2). The authors released space, joint and divided; local_global and axial follow the paper's text (decision 0030).

Shape suffixes: B clips, P = T * H * W patches (t slowest, w fastest), G groups of a clip, L patches of a group,
D features.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

from models.timesformer.config import Scheme

StepName: TypeAlias = Literal["joint", "space", "time", "local", "global", "width", "height"]

STEPS: dict[Scheme, tuple[StepName, ...]] = {
    "space": ("joint",),  # a clip of one frame each: see `Encoder`
    "joint": ("joint",),
    "divided": ("time", "space"),
    "local_global": ("local", "global"),
    "axial": ("time", "width", "height"),
}
"""All steps of a block but the last see patches alone; the last sees the class token in each of its groups."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """`axes`: the patches' axis, split; `groups` and `members` say which of these tell groups apart, and which members
    of one group. Numbers count from 1: axis 0 is the clips'."""

    axes: tuple[int, ...]
    groups: tuple[int, ...]
    members: tuple[int, ...]

    @property
    def num_groups(self) -> int:
        """G: of one clip."""
        number = 1
        for axis in self.groups:
            number *= self.axes[axis - 1]
        return number

    def split(self, patches_BPD: Tensor) -> Tensor:
        """groups_NLD, N = B * G; the groups of a clip are consecutive."""
        dim = patches_BPD.shape[-1]
        length = patches_BPD.shape[1] // self.num_groups
        laid_out = patches_BPD.reshape(-1, *self.axes, dim)
        return laid_out.permute(0, *self.groups, *self.members, len(self.axes) + 1).reshape(-1, length, dim)

    def join(self, groups_NLD: Tensor) -> Tensor:
        """patches_BPD: undoes `split`."""
        dim = groups_NLD.shape[-1]
        num_patches = self.num_groups * groups_NLD.shape[1]
        order = (*self.groups, *self.members)
        laid_out = groups_NLD.reshape(-1, *(self.axes[axis - 1] for axis in order), dim)
        back = [order.index(axis) + 1 for axis in range(1, len(self.axes) + 1)]
        return laid_out.permute(0, *back, len(self.axes) + 1).reshape(-1, num_patches, dim)


def grouping(step: StepName, num_frames: int, grid: tuple[int, int]) -> Grouping:
    """Of clips of `num_frames` frames of `grid` (rows, columns) patches; local and global need even numbers."""
    frames, (rows, columns) = num_frames, grid
    groupings: dict[StepName, Grouping] = {
        "joint": Grouping((frames * rows * columns,), (), (1,)),
        "space": Grouping((frames, rows * columns), (1,), (2,)),
        "time": Grouping((frames, rows * columns), (2,), (1,)),
        "width": Grouping((frames * rows, columns), (1,), (2,)),
        "height": Grouping((frames, rows, columns), (1, 3), (2,)),
        # the four quarters of the picture, through all frames
        "local": Grouping((frames, 2, rows // 2, 2, columns // 2), (2, 4), (1, 3, 5)),
        # every second frame, row and column, from each of the eight places to start
        "global": Grouping((frames // 2, 2, rows // 2, 2, columns // 2, 2), (2, 4, 6), (1, 3, 5)),
    }
    return groupings[step]
