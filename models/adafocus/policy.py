"""pi: one look at the glance's whole feature map, the centres of all K cubes at once (section 3.2).

Knows no pixels: it speaks in positions relative to the room a cube has, which `cubes` and `enlarged` turn into places.

Shape suffixes: B clips, T glance frames, C channels, h rows, w columns of the map, K cubes, 3 = (t, y, x).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.backbones.config import num_cells

_EDGE = 0.02  # a place at the very edge could not be left: the sigmoid is flat there


class Policy(nn.Module):
    """maps_BTChw to positions_BK3 in (0, 1): 0 is the first place a cube can take along (t, y, x), 1 the last.

    1x1 convolution over the stacked frames, then fully connected layers, as AdaFocusV2's for Something-Something.
    Where cubes show differences of frames, it begins at places where most moves, and learns by how far to leave them:
    too few clips teach it to find motion by itself (decision 0014).
    """

    def __init__(self, config: AdaFocusConfig, map_channels: int) -> None:
        super().__init__()
        self.max_cubes = config.max_cubes
        cells = num_cells(config.glance_size[0]) * num_cells(config.glance_size[1])
        widths = (config.policy_conv * cells, *config.policy_hidden)
        hidden = [
            layer
            for inputs, outputs in pairwise(widths)
            for layer in (nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.Tanh())
        ]
        self.layers = nn.Sequential(
            nn.Conv2d(config.num_glance_frames * map_channels, config.policy_conv, 1, bias=False),
            nn.BatchNorm2d(config.policy_conv),
            nn.Tanh(),
            nn.Flatten(),
            *hidden,
            nn.Linear(widths[-1], 3 * config.max_cubes),
            nn.Sigmoid(),
        )

        if config.focus_input == "differences":
            with torch.no_grad():
                for parameter in self.layers[-2].parameters():
                    parameter.zero_()

    def forward(self, maps_BTChw: Tensor, start_BK3: Tensor | None = None) -> Tensor:
        """`start_BK3`: the places to begin at; None: the middle of the room."""
        if self.training and maps_BTChw.shape[0] == 1:
            raise ValueError(
                "a batch of 1 clip cannot train the policy: its batch norms need at least 2; "
                "use a larger batch (drop a lone last one), or eval mode"
            )
        logits_BK3 = self.layers[:-1](maps_BTChw.flatten(1, 2)).view(-1, self.max_cubes, 3)
        if start_BK3 is not None:
            logits_BK3 = logits_BK3 + torch.logit(start_BK3, eps=_EDGE)
        positions_BK3: Tensor = logits_BK3.sigmoid()
        return positions_BK3
