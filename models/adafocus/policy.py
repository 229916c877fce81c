"""pi: one look at the glance's whole feature map, the centres of all K cubes at once (section 3.2).

Knows no pixels: it speaks in positions relative to the room a cube has, which `cubes` and `enlarged` turn into places.

Shape suffixes: B clips, T glance frames, C channels, h rows, w columns of the map, K cubes, 3 = (t, y, x).
"""

from itertools import pairwise

from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.backbones.config import num_cells


class Policy(nn.Module):
    """maps_BTChw to positions_BK3 in (0, 1): 0 is the first place a cube can take along (t, y, x), 1 the last.

    1x1 convolution over the stacked frames, then fully connected layers, as AdaFocusV2's for Something-Something.
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

    def forward(self, maps_BTChw: Tensor) -> Tensor:
        if self.training and maps_BTChw.shape[0] == 1:
            raise ValueError(
                "a batch of 1 clip cannot train the policy: its batch norms need at least 2; "
                "use a larger batch (drop a lone last one), or eval mode"
            )
        positions: Tensor = self.layers(maps_BTChw.flatten(1, 2))
        return positions.view(-1, self.max_cubes, 3)
