"""X3D-S (Feichtenhofer, CVPR 2020), to measure against: built from the published layers, seeded and untrained.

Its layers are those of pytorchvideo's `create_x3d` (stem 24, blocks 3, 5, 11, 7, inner width 2.25 times the outer,
squeeze-excitation in every other block, swish, head of 432 and 2048). pytorchvideo itself needs torchvision.
`python -m benchmarks.x3d` prints parameters and multiply-adds beside the published ones.

Shape suffixes: B clips, T frames, N = B * T, H rows, W columns, C channels or classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.channels import IMAGENET_MEAN, IMAGENET_STD
from models.flops import count_flops
from models.mobile_former.activations import SqueezeExcitation
from models.mobile_former.block import depthwise, pointwise
from models.mobile_former.config import MobileFormerConfig
from models.mobile_former.folding import fold_norm, fold_stem
from models.mobile_former.network import Stem
from models.normalize import Normalize

BLOCKS, WIDTHS, EXPANSION = (3, 5, 11, 7), (24, 48, 96, 192), 2.25
HEAD_HIDDEN = 2048
PUBLISHED = {(13, 160): 1.96, (13, 182): 2.73}  # GFLOPs by (frames, pixels a side)
PUBLISHED_PARAMETERS_M = 3.76


class X3DBlock(nn.Module):
    def __init__(self, in_channels: int, channels: int, number: int) -> None:
        super().__init__()
        hidden, first = int(EXPANSION * channels), number == 0
        stride = (1, 2, 2) if first else (1, 1, 1)
        self.expand, self.expand_norm = pointwise(in_channels, hidden), nn.BatchNorm3d(hidden)
        self.depthwise, self.depthwise_norm = depthwise(hidden, "3d", stride), nn.BatchNorm3d(hidden)
        self.excitation = SqueezeExcitation(hidden) if number % 2 == 0 else nn.Identity()
        self.project, self.project_norm = pointwise(hidden, channels), nn.BatchNorm3d(channels)
        self.shortcut: nn.Module = pointwise(in_channels, channels, stride) if first else nn.Identity()
        self.shortcut_norm: nn.Module = nn.BatchNorm3d(channels) if first else nn.Identity()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        u_BCTHW = F.relu(self.expand_norm(self.expand(x_BCTHW)))
        u_BCTHW = F.silu(self.excitation(self.depthwise_norm(self.depthwise(u_BCTHW))))
        y_BCTHW = self.project_norm(self.project(u_BCTHW))
        return F.relu(y_BCTHW + self.shortcut_norm(self.shortcut(x_BCTHW)))


class X3DS(nn.Module):
    """uint8 frames_NHWC of `num_frames` a clip to logits_BC."""

    def __init__(self, num_classes: int, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.normalize = Normalize(IMAGENET_MEAN, IMAGENET_STD, "rgb")
        self.stem = Stem(MobileFormerConfig(num_classes, BLOCKS, WIDTHS[0], EXPANSION, stem_temporal_stride=1))
        inputs = (WIDTHS[0], *WIDTHS)
        self.blocks = nn.Sequential(
            *(
                X3DBlock(inputs[stage] if number == 0 else WIDTHS[stage], WIDTHS[stage], number)
                for stage, num_blocks in enumerate(BLOCKS)
                for number in range(num_blocks)
            )
        )
        wide = int(EXPANSION * WIDTHS[-1])
        self.head, self.head_norm = pointwise(WIDTHS[-1], wide), nn.BatchNorm3d(wide)
        self.hidden = nn.Linear(wide, HEAD_HIDDEN, bias=False)
        self.out = nn.Linear(HEAD_HIDDEN, num_classes)

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        pixels_NCHW = self.normalize(frames_NHWC)
        pixels_BTCHW = pixels_NCHW.reshape(-1, self.num_frames, *pixels_NCHW.shape[1:])
        x_BCTHW = self.blocks(self.stem(pixels_BTCHW.transpose(1, 2)))
        means_BC = F.relu(self.head_norm(self.head(x_BCTHW))).mean(dim=(2, 3, 4))
        logits_BC: Tensor = self.out(F.relu(self.hidden(means_BC)))
        return logits_BC.float()


def x3d_s(num_classes: int, num_frames: int, seed: int = 0) -> X3DS:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return X3DS(num_classes, num_frames).eval()


def fold(network: X3DS, *, one_stem: bool) -> X3DS:
    """What `models.mobile_former.folding` does to a Video Mobile-Former; `one_stem` costs X3D four times its stem."""
    if one_stem:
        fold_stem(network.stem)
    else:
        fold_norm(network.stem, "temporal", "norm")
    for block in network.blocks:
        for part in ("expand", "depthwise", "project"):
            fold_norm(block, part, f"{part}_norm")
        if not isinstance(block.shortcut, nn.Identity):
            fold_norm(block, "shortcut", "shortcut_norm")
    fold_norm(network, "head", "head_norm")
    return network


def main() -> None:
    parameters_m = sum(parameter.numel() for parameter in x3d_s(400, 13).parameters()) / 1e6
    print(f"parameters: {parameters_m:.2f} M (published: {PUBLISHED_PARAMETERS_M})")
    for (num_frames, side), published in PUBLISHED.items():
        frames_NHWC = torch.empty(num_frames, side, side, 3, dtype=torch.uint8, device="meta")
        gflops = count_flops(x3d_s(400, num_frames), frames_NHWC) / 1e9
        print(f"{num_frames} frames of {side} x {side}: {gflops:.3f} GFLOPs (published: {published})")


if __name__ == "__main__":
    main()
