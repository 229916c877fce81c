"""pi as a heat map: every cell of the glance's map is judged by what it shows, and cubes go where it is hottest.

The paper's head (`policy.Policy`) is fully connected: it has to learn every place by itself, and from hundreds of clips
it learns the clips. This one judges all cells alike: what it learns at one place it knows at all. Knows no pixels.

All cubes share one map. Where a cube lies, the map is cold for the cubes after it (inhibition of return; Itti, Koch and
Niebur, PAMI 1998), so that the second has a reason to look elsewhere.

Shape suffixes: B clips, T glance frames, C channels, h rows, w columns of the map, P = T * h * w cells, K cubes,
3 = (t, y, x).
"""

import math

import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.backbones.config import STRIDE

_INHIBITION = 8.0  # nats that a cell loses whose cube was looked at before; e^8 is 3,000 to one
_REACH_CELLS = 1  # around the hottest cell, within which the place is a weighted mean
_LEAST_FEATURE = 1e-4  # keeps the root's gradient finite


class HeatMapPolicy(nn.Module):
    """maps_BTChw to positions_BK3 in [0, 1]: 0 is the first place a cube can take along (t, y, x), 1 the last.

    Heat is linear in the square roots of a cell's features. A position is the mean of the places of the hottest cell
    and its neighbours, weighted by the softmax of their heat (local soft-argmax): so Eq. 5-6 reach the heat. In train
    mode the hottest cell is drawn, each as likely as its softmax says (Gumbel-max): the gradient of Eq. 5-6 sees no
    further than one cell beyond a cube, so cubes have to come near what matters before anything can be learnt.

    `cell_px`: of the glance, a side of a cell; 32 in the last map, 16 in that of MobileNetV2's layer 13, whose features
    may be negative: the root of such a one is minus the root of its size.
    """

    places_P3: Tensor
    cells_P3: Tensor
    room_3: Tensor

    def __init__(self, config: AdaFocusConfig, map_channels: int, cell_px: int = STRIDE) -> None:
        super().__init__()
        self.cell_px = cell_px
        self.max_cubes = config.max_cubes
        self.standardise = nn.BatchNorm2d(map_channels, affine=False)
        self.heat = nn.Conv2d(map_channels, 1, 1, bias=False)
        nn.init.zeros_(self.heat.weight)
        places_P3, cells_P3 = _places(config, cell_px)
        self.register_buffer("places_P3", places_P3, persistent=False)
        self.register_buffer("cells_P3", cells_P3, persistent=False)
        sizes = (config.num_frames, *config.frame_size)
        room = [(size - cube) / cube for size, cube in zip(sizes, config.cube_size, strict=True)]
        self.register_buffer("room_3", torch.tensor(room), persistent=False)

    def forward(self, maps_BTChw: Tensor) -> Tensor:
        heat_BP = self.heat_map(maps_BTChw).flatten(1)
        positions = []
        for _ in range(self.max_cubes):
            position_B3 = self._hottest(heat_BP)
            heat_BP = heat_BP - _INHIBITION * self._overlap(position_B3.detach())
            positions.append(position_B3)
        return torch.stack(positions, dim=1)

    def heat_map(self, maps_BTChw: Tensor) -> Tensor:
        """heat_BThw, before any cube was looked at."""
        roots_NChw = roots(maps_BTChw.flatten(0, 1))
        heat_N1hw: Tensor = self.heat(self.standardise(roots_NChw))
        return heat_N1hw[:, 0].view(*maps_BTChw.shape[:2], *maps_BTChw.shape[3:])

    def _hottest(self, heat_BP: Tensor) -> Tensor:
        noisy_BP = heat_BP
        if self.training:
            noisy_BP = heat_BP - torch.empty_like(heat_BP).exponential_().log()
        peak_B3 = self.cells_P3[noisy_BP.argmax(dim=1)]
        near_BP = (self.cells_P3 - peak_B3[:, None]).abs().amax(dim=2) <= _REACH_CELLS
        weights_BP = heat_BP.masked_fill(~near_BP, -torch.inf).softmax(dim=1)
        return weights_BP @ self.places_P3

    def _overlap(self, position_B3: Tensor) -> Tensor:
        """overlap_BP: the share of the cube at each cell that the cube at this position holds, too."""
        apart_BP3 = (self.places_P3 - position_B3[:, None]).abs() * self.room_3
        return (1 - apart_BP3).clamp(min=0).prod(dim=2)


def roots(features: Tensor) -> Tensor:
    """Square roots with the sign of what they are of, and a gradient that is finite at 0."""
    above, below = features.clamp(min=0), (-features).clamp(min=0)
    root: Tensor = (above + _LEAST_FEATURE).sqrt() - ((below + _LEAST_FEATURE).sqrt() - math.sqrt(_LEAST_FEATURE))
    return root


def _places(config: AdaFocusConfig, cell_px: int) -> tuple[Tensor, Tensor]:
    """places_P3: the position of a cube that is centred on a cell, or as near to that as the frame allows; cells_P3:
    the cell's own (t, y, x), counted."""
    axes = [[float(index) + 0.5 for index in config.glance_indices]]
    for whole, glance in zip(config.frame_size, config.glance_size, strict=True):
        num_cells = -(-glance // cell_px)
        axes.append([(cell + 0.5) / num_cells * whole for cell in range(num_cells)])
    sizes = (config.num_frames, *config.frame_size)
    positions = [
        [min(max((centre - cube / 2) / max(size - cube, 1), 0.0), 1.0) for centre in centres]
        for centres, size, cube in zip(axes, sizes, config.cube_size, strict=True)
    ]
    places_P3: Tensor = torch.cartesian_prod(*(torch.tensor(axis) for axis in positions))
    cells_P3: Tensor = torch.cartesian_prod(*(torch.arange(float(len(axis))) for axis in positions))
    return places_P3, cells_P3
