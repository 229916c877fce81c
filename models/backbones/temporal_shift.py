"""Temporal shift (Lin et al., TSM, ICCV 2019): neighbouring frames exchange an eighth of their channels, for free.

Knows no network: the backbones call it at the head of a residual branch.

Shape suffixes: N images (clips x frames, frames of a clip consecutive), C channels, H rows, W columns.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT_DIV = 8
"""TSM's published setting: one eighth of the channels comes from the next frame, one eighth from the previous."""


def temporal_shift(images_NCHW: Tensor, num_frames: int) -> Tensor:
    """Shift within clips of `num_frames` images: channels 0..C/8 from the next frame, C/8..C/4 from the previous one.

    Beyond the clip's ends there are zeros. N must be a multiple of `num_frames` (torch raises otherwise): the caller
    keeps whole clips together. Same shape out.
    """
    frames = torch.unflatten(images_NCHW, 0, (-1, num_frames))
    fold = images_NCHW.shape[1] // SHIFT_DIV
    # Padded before it is sliced, so that a clip of one frame never makes an empty tensor.
    from_next = F.pad(frames[:, :, :fold], (0, 0, 0, 0, 0, 0, 0, 1))[:, 1:]
    from_previous = F.pad(frames[:, :, fold : 2 * fold], (0, 0, 0, 0, 0, 0, 1, 0))[:, :-1]
    return torch.cat((from_next, from_previous, frames[:, :, 2 * fold :]), dim=2).flatten(0, 1)
