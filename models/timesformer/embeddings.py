"""Learned places and times of one clip shape for another: the nearest in two dimensions, and in time.

Knows no network. The nearest is what the authors' code does at run time; while it loads a file it instead stretches the
flattened patches, which scrambles rows and columns (decision 0030).

Shape suffixes: S = 1 + patches (the class token first), T frames, D features.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def resize_positions(position_SD: Tensor, grid: tuple[int, int], new_grid: tuple[int, int]) -> Tensor:
    """position_SD of `new_grid` (rows, columns). Raises ValueError where the positions are not those of `grid`."""
    rows, columns = grid
    if len(position_SD) != 1 + rows * columns:
        raise ValueError(f"{len(position_SD)} positions are not one for the class and {rows} x {columns} for patches")
    if grid == new_grid:
        return position_SD
    laid_out = position_SD[1:].reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(laid_out.float(), size=new_grid, mode="nearest")
    patches_PD = resized.flatten(2)[0].T.to(position_SD.dtype)
    return torch.cat((position_SD[:1], patches_PD))


def resize_times(time_TD: Tensor, num_frames: int) -> Tensor:
    """time_TD of `num_frames` frames."""
    if len(time_TD) == num_frames:
        return time_TD
    return F.interpolate(time_TD.T[None].float(), size=num_frames, mode="nearest")[0].T.to(time_TD.dtype)
