"""One block: an inverted bottleneck of 3D convolutions beside the Former branch, two bridges between them (Figure 2).

Shape suffixes: B clips, C channels, T frames, H rows, W columns, L = 1 or T sets of tokens a clip, M tokens a set, D
features of a token.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from models.mobile_former.activations import DynamicReLU, SqueezeExcitation
from models.mobile_former.config import Depthwise, MobileFormerConfig
from models.mobile_former.former import Former, FormerToMobile, MobileToFormer


class Block(nn.Module):
    """Tokens first take in the block's input, then speak to each other; the Mobile branch computes under their
    coefficients and takes from them at its end. Of a baseline's, tokens pass by untouched.
    """

    def __init__(self, config: MobileFormerConfig, stage: int, number: int, in_channels: int) -> None:
        """Block `number` of `stage`, both from 0."""
        super().__init__()
        channels = config.widths[stage]
        hidden = config.hidden(channels)
        first = number == 0
        stride = (config.stage_temporal_strides[stage], 2, 2) if first else (1, 1, 1)
        self.expand = pointwise(in_channels, hidden)
        self.expand_norm = nn.BatchNorm3d(hidden)
        self.expand_act = _activation(config, hidden)
        self.depthwise = depthwise(hidden, config.depthwise, stride)
        self.depthwise_norm = nn.BatchNorm3d(hidden)
        self.excitation = SqueezeExcitation(hidden) if config.squeeze_excitation and number % 2 == 0 else None
        self.depthwise_act = _activation(config, hidden)
        self.project = pointwise(hidden, channels)
        self.project_norm = nn.BatchNorm3d(channels)
        self.shortcut = pointwise(in_channels, channels, stride) if first or in_channels != channels else None
        self.shortcut_norm = nn.BatchNorm3d(channels) if self.shortcut is not None else None
        self.to_former: nn.Module | None = None  # `folding` puts others with the same function here
        self.to_mobile: nn.Module | None = None
        self.former: Former | None = None
        if config.former:
            self.to_former = MobileToFormer(in_channels, config.token_dim, config.bridge_heads)
            self.former = Former(config.token_dim, config.former_heads)
            self.to_mobile = FormerToMobile(channels, config.token_dim, config.bridge_heads)
        self.pools_input = False
        """Set by `folding`: a frame's mean after a pointwise convolution is the convolution of its mean before."""

    def forward(self, x_BCTHW: Tensor, tokens_BLMD: Tensor) -> tuple[Tensor, Tensor]:
        if self.to_former is not None and self.former is not None:
            tokens_BLMD = self.former(self.to_former(x_BCTHW, tokens_BLMD))
        means_BCT = None
        if self.pools_input:
            means_BCT = self.expand_norm(self.expand(x_BCTHW.mean(dim=(3, 4), keepdim=True))).flatten(2)
        u_BCTHW = _activated(self.expand_act, self.expand_norm(self.expand(x_BCTHW)), tokens_BLMD, means_BCT)
        u_BCTHW = self.depthwise_norm(self.depthwise(u_BCTHW))
        if self.excitation is not None:
            u_BCTHW = self.excitation(u_BCTHW)
        y_BCTHW = self.project_norm(self.project(_activated(self.depthwise_act, u_BCTHW, tokens_BLMD)))
        if self.shortcut is not None and self.shortcut_norm is not None:
            x_BCTHW = self.shortcut_norm(self.shortcut(x_BCTHW))
        y_BCTHW = y_BCTHW + x_BCTHW
        if self.to_mobile is not None:
            y_BCTHW = self.to_mobile(y_BCTHW, tokens_BLMD)
        return y_BCTHW, tokens_BLMD


def pointwise(in_channels: int, channels: int, stride: tuple[int, int, int] = (1, 1, 1)) -> nn.Conv3d:
    return nn.Conv3d(in_channels, channels, 1, stride, bias=False)


def depthwise(channels: int, kind: Depthwise, stride: tuple[int, int, int]) -> nn.Module:
    """3x3x3, or Table 10's others; only a kernel that spans time can stride in it."""
    temporal, height, width = stride

    def conv(kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> nn.Conv3d:
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        return nn.Conv3d(channels, channels, kernel, stride, padding, groups=channels, bias=False)

    if kind == "3d":
        return conv((3, 3, 3), stride)
    if kind == "2d":
        return conv((1, 3, 3), stride)
    return nn.Sequential(conv((1, 3, 3), (1, height, width)), conv((3, 1, 1), (temporal, 1, 1)))


def _activation(config: MobileFormerConfig, channels: int) -> DynamicReLU | None:
    if config.activation == "relu":
        return None
    return DynamicReLU(channels, config.token_dim, per_frame=config.activation == "frame_dynamic_relu")


def _activated(
    activation: DynamicReLU | None, u_BCTHW: Tensor, tokens_BLMD: Tensor, means_BCT: Tensor | None = None
) -> Tensor:
    if activation is None:
        return F.relu(u_BCTHW)
    result: Tensor = activation(u_BCTHW, tokens_BLMD, means_BCT)
    return result
