"""MobileNetV2 (Sandler et al., CVPR 2018) down to its last feature map, in torchvision's key layout.

Knows no classifier and no video; `num_frames` makes neighbouring images exchange channels (TSM).

Shape suffixes: N images, C channels, H rows, W columns (input) or h rows, w columns (map, stride 32).
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.config import Padding
from models.backbones.temporal_shift import temporal_shift
from models.backbones.widths import STAGES, map_widths


class MobileNetV2(nn.Module):
    """images_NCHW to maps_NChw, C = `num_features`: 1280, and more for `width_mult` above 1.

    With padding `same`, sides must be multiples of 32 (`BackboneConfig.check_size`).
    """

    def __init__(self, width_mult: float = 1.0, *, padding: Padding = "symmetric") -> None:
        super().__init__()
        self.channels = map_widths(width_mult)
        """Of the map after each of `features`."""
        self.num_features = self.channels[-1]
        strides = [
            (expansion, stride if first else 1)
            for expansion, _, repeats, stride in STAGES
            for first in [True] + [False] * (repeats - 1)
        ]
        widths = self.channels[:-1]
        blocks = [
            InvertedResidual(inputs, outputs, stride, expansion, padding)
            for (inputs, outputs), (expansion, stride) in zip(pairwise(widths), strides, strict=True)
        ]
        self.features = nn.ModuleList(
            [
                _conv_bn_relu6(3, widths[0], kernel=3, stride=2, padding=padding),
                *blocks,
                _conv_bn_relu6(widths[-1], self.num_features),
            ]
        )
        _initialise(self)

    def forward(self, images_NCHW: Tensor, num_frames: int | None = None) -> Tensor:
        """`num_frames`: images per clip for the temporal shift; None: each image stands alone."""
        (maps_NChw,) = self.maps(images_NCHW, (len(self.features) - 1,), num_frames)
        return maps_NChw

    def maps(self, images_NCHW: Tensor, wanted: Sequence[int], num_frames: int | None = None) -> list[Tensor]:
        """The maps after these layers of `features`, rising."""
        maps, found = images_NCHW, []
        for number, layer in enumerate(self.features):
            maps = layer(maps, num_frames) if isinstance(layer, InvertedResidual) else layer(maps)
            if number in wanted:
                found.append(maps)
        return found


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, padding: Padding = "symmetric") -> None:
        super().__init__()
        hidden = inputs * expansion
        self.has_skip = stride == 1 and inputs == outputs
        self.shifts = self.has_skip and expansion > 1
        """TSM's places in MobileNetV2: blocks 3, 5, 6, 8, 9, 10, 12, 13, 15, 16, before the expanding 1x1."""
        self.conv = nn.Sequential(
            *([_conv_bn_relu6(inputs, hidden)] if expansion > 1 else []),
            _conv_bn_relu6(hidden, hidden, kernel=3, stride=stride, groups=hidden, padding=padding),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, maps_NCHW: Tensor, num_frames: int | None = None) -> Tensor:
        branch = temporal_shift(maps_NCHW, num_frames) if num_frames and self.shifts else maps_NCHW
        residual: Tensor = self.conv(branch)
        return maps_NCHW + residual if self.has_skip else residual


class SameConv2d(nn.Conv2d):
    """A 3x3 convolution of stride 2 over even sides as TensorFlow pads it: one row below, one column to the right."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, (0, 1, 0, 1)))


def _conv_bn_relu6(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, padding: Padding = "symmetric"
) -> nn.Sequential:
    conv: nn.Conv2d
    if padding == "same" and stride == 2:
        conv = SameConv2d(inputs, outputs, kernel, stride, 0, groups=groups, bias=False)
    else:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


def _initialise(network: nn.Module) -> None:
    """He by fan in: torchvision's fan out forgets the groups, and an untrained network then fades to nothing."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
