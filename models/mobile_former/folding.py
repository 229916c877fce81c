"""The same function with fewer operations, for inference: what a runtime executes in place of an encoder.

Knows no runtime. Exact up to rounding; prices are those of the encoder as it was trained.
"""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from models.mobile_former.block import Block
from models.mobile_former.folded_bridges import FoldedFormerToMobile, FoldedMobileToFormer
from models.mobile_former.former import FormerToMobile, MobileToFormer
from models.mobile_former.network import Encoder, Stem


def fold(encoder: Encoder) -> Encoder:
    """A copy in eval mode: the stem is one convolution, norms are part of the convolutions before them, a block's first
    dynamic ReLU takes its means from the block's input, which has fewer channels, and bridges move no memory.
    """
    folded = copy.deepcopy(encoder).eval().requires_grad_(False)
    fold_stem(folded.stem)
    for block in folded.blocks:
        assert isinstance(block, Block)
        _fold_block(block)
    fold_norm(folded, "head", "head_norm")
    return folded


def fold_stem(stem: Stem) -> None:
    """Nothing stands between the two convolutions and neither has a bias, so a frame of zeros stays one: padding in
    time commutes with the spatial convolution. Only frames that the temporal kernel meets are computed: of a stride of
    8, five of eight; of a stride of 4 the five taps of each frame cost a fifth more, in one pass over memory, not two.
    """
    spatial, temporal = stem.spatial, stem.temporal
    assert isinstance(temporal, nn.Conv3d)
    kernel, stride, half = temporal.kernel_size[0], temporal.stride[0], int(temporal.padding[0])
    fused = nn.Conv3d(3, spatial.out_channels, (kernel, 3, 3), (stride, 2, 2), (half, 1, 1), bias=False)
    fused.weight = nn.Parameter(spatial.weight.detach() * temporal.weight.detach(), requires_grad=False)
    stem.spatial, stem.temporal = fused, nn.Identity()
    fold_norm(stem, "spatial", "norm")


def _fold_block(block: Block) -> None:
    fold_norm(block, "expand", "expand_norm")
    fold_norm(block, "depthwise", "depthwise_norm")
    fold_norm(block, "project", "project_norm")
    if block.shortcut is not None:
        fold_norm(block, "shortcut", "shortcut_norm")
    if block.to_former is not None and block.to_mobile is not None:
        assert isinstance(block.to_former, MobileToFormer)
        assert isinstance(block.to_mobile, FormerToMobile)
        block.to_former = FoldedMobileToFormer(block.to_former)
        block.to_mobile = FoldedFormerToMobile(block.to_mobile)
    block.pools_input = block.expand_act is not None and block.expand_act.per_frame


def fold_norm(owner: nn.Module, conv_name: str, norm_name: str) -> None:
    """The last convolution of `conv_name`, which may be a sequence, takes in the norm."""
    part, norm = getattr(owner, conv_name), getattr(owner, norm_name)
    conv = part[-1] if isinstance(part, nn.Sequential) else part
    assert isinstance(conv, nn.Conv3d)
    assert isinstance(norm, nn.BatchNorm3d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    setattr(owner, norm_name, nn.Identity())
