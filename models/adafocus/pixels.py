"""Training only, AdaFocusV2's way to teach the policy (Table 5's comparison): cubes cut between frames and pixels.

Trilinear interpolation of pixels, whose gradient says how the picture would change if the cube moved by less than a
pixel; it reaches the policy through the whole focus network. Eq. 5-6 (`enlarged`) interpolate deep features instead.

Shape suffixes: B clips, K cubes, N = B * K, T frames, H rows, W columns, C channels, 3 = (t, y, x).
"""

import torch
from torch import Tensor

from models.adafocus.config import AdaFocusConfig


def crop_between_pixels(clips_BTHWC: Tensor, positions_BK3: Tensor, config: AdaFocusConfig) -> Tensor:
    """crops_NTHWC in 0..255, of the positions' type, differentiable in them ([0, 1], relative to a cube's room)."""
    room_3 = positions_BK3.new_tensor((config.num_frames, *config.frame_size)) - positions_BK3.new_tensor(
        config.cube_size
    )
    corners_BK3 = positions_BK3 * room_3
    # One frame, row and column more than the cube, where there is one; at the far end it lies before the corner.
    first_BK3 = corners_BK3.detach().floor().clamp(max=(room_3 - 1).clamp(min=0))
    sizes = [size + int(room > 0) for size, room in zip(config.cube_size, room_3.tolist(), strict=True)]
    crops_NTHWC = torch.stack(
        [
            clip_THWC[t : t + sizes[0], y : y + sizes[1], x : x + sizes[2]]
            for clip_THWC, first_K3 in zip(clips_BTHWC, first_BK3.long().tolist(), strict=True)
            for t, y, x in first_K3
        ]
    ).to(positions_BK3.dtype)
    beyond_N3 = (corners_BK3 - first_BK3).flatten(0, 1)
    for axis, size in enumerate(config.cube_size):
        dimension = axis + 1
        if crops_NTHWC.shape[dimension] > size:
            here, next_ = crops_NTHWC.narrow(dimension, 0, size), crops_NTHWC.narrow(dimension, 1, size)
            crops_NTHWC = torch.lerp(here, next_, beyond_N3[:, axis].view(-1, 1, 1, 1, 1))
    return crops_NTHWC
