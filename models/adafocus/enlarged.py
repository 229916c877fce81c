"""Training only, Eq. 5-6: crop a slightly larger cube, then interpolate deep features at its centre.

The pixels carry no gradient to the policy; the interpolation alone does: it says how the features would change if the
cube moved. Knows neither the policy nor the networks.

In each axis where there is room, the enlarged cube has one feature cell more than the cube (32 pixels; one frame) and
the features are read half-way between neighbours: forward a mean of two cells, backward their difference. Where there
is no room (the cube spans all frames, or the frame's side has no further cell) the axis is neither enlarged nor
interpolated, and gives the policy no gradient: there is nowhere to move, or nothing to compare with. At an edge the
enlarged cube is moved inwards as a whole, so the difference is that of the cells up to one cell further inside.

Shape suffixes: B clips, K cubes, N = B * K, T frames, H rows, W columns, C channels, h and w cells, 3 = (t, y, x).
"""

import torch
from torch import Tensor

from models.adafocus.config import AdaFocusConfig
from models.backbones.config import STRIDE, num_cells

Axes = tuple[int, int, int]


def enlarged_size(config: AdaFocusConfig) -> Axes:
    """(frames, rows, columns) of the enlarged cube."""
    frames, *sides = config.cube_size
    height, width = (
        larger if num_cells(larger := min(side + STRIDE, whole)) > num_cells(side) else side
        for side, whole in zip(sides, config.frame_size, strict=True)
    )
    return min(frames + 1, config.num_frames), height, width


def enlarged_axes(config: AdaFocusConfig) -> tuple[bool, bool, bool]:
    """Along which of (t, y, x) there is a further cell, hence a gradient."""
    t, y, x = (larger > size for larger, size in zip(enlarged_size(config), config.cube_size, strict=True))
    return t, y, x


def centres(positions_BK3: Tensor, config: AdaFocusConfig) -> Tensor:
    """centres_BK3 in frames and pixels, differentiable: u * (size - cube) + cube / 2."""
    sizes = positions_BK3.new_tensor((config.num_frames, *config.frame_size))
    cube = positions_BK3.new_tensor(config.cube_size)
    return positions_BK3 * (sizes - cube) + cube / 2


def crop_enlarged(clips_BTHWC: Tensor, centres_BK3: Tensor, config: AdaFocusConfig) -> Tensor:
    """Whole-pixel crops_NTHWC of the enlarged size around the centres, moved inwards at the edges. No gradient."""
    size = centres_BK3.new_tensor(enlarged_size(config))
    room = centres_BK3.new_tensor((config.num_frames, *config.frame_size)) - size
    corners_BK3 = (centres_BK3.detach() - size / 2).round().clamp(min=torch.zeros_like(room), max=room).long()
    frames, height, width = enlarged_size(config)
    return torch.stack(
        [
            clip_THWC[t : t + frames, y : y + height, x : x + width]
            for clip_THWC, corners_K3 in zip(clips_BTHWC, corners_BK3.tolist(), strict=True)
            for t, y, x in corners_K3
        ]
    )


def shifts_in_cells(centres_N3: Tensor) -> Tensor:
    """x_c - StopGradient(x_c) of Eq. 6, in feature cells: zero, with the gradient of a move of the centre."""
    return (centres_N3 - centres_N3.detach()) / centres_N3.new_tensor((1, STRIDE, STRIDE))


def interpolate(maps_NTChw: Tensor, shifts_N3: Tensor, axes: tuple[bool, bool, bool]) -> Tensor:
    """Eq. 5: the map, one cell smaller along each of `axes`, read at i + 1/2 + shift (trilinear, |shift| <= 1/2)."""
    for axis, (dimension, enlarged) in enumerate(zip((1, 3, 4), axes, strict=True)):
        if enlarged:
            cells = maps_NTChw.shape[dimension]
            weight = (0.5 + shifts_N3[:, axis]).view(-1, 1, 1, 1, 1)
            maps_NTChw = torch.lerp(
                maps_NTChw.narrow(dimension, 0, cells - 1), maps_NTChw.narrow(dimension, 1, cells - 1), weight
            )
    return maps_NTChw
