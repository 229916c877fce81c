"""What one pass costs, in the two conventions that meet here. Knows no weights: prices follow from the configuration.

`step_flops` counts convolutions, linear layers and matrix products, as AdaFocusV3's tables and all budgets of Fovea do.
`paper_flops` is what the Video Mobile-Former paper's tables print: fvcore's count in evaluation mode, which adds two
operations per element that enters a batch norm and five per element that enters a layer norm. It is larger by 2 to 5 %.
"""

from functools import cache

import torch
from torch import nn

from models.flops import count_call_flops
from models.mobile_former.config import MobileFormerConfig
from models.mobile_former.network import VideoMobileFormer

_BATCH_NORM, _LAYER_NORM = 2, 5  # per element of the input


@cache
def step_flops(config: MobileFormerConfig) -> tuple[int]:
    """Multiply-adds of one clip, in the one step that there is."""
    return (_counts(config)[0],)


@cache
def paper_flops(config: MobileFormerConfig) -> int:
    """What the paper's tables call FLOPs."""
    return sum(_counts(config))


@cache
def _counts(config: MobileFormerConfig) -> tuple[int, int]:
    """(multiply-adds, what norms add in the paper's convention)."""
    norms = 0

    def count_norm(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal norms
        norms += inputs[0].numel() * (_LAYER_NORM if isinstance(module, nn.LayerNorm) else _BATCH_NORM)

    with torch.device("meta"):
        network = VideoMobileFormer(config).eval()
        clips_BTHWC = torch.empty(1, config.num_frames, *config.frame_size, 3, dtype=torch.uint8)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm3d | nn.LayerNorm):
                module.register_forward_hook(count_norm)
        flops = count_call_flops(network, clips_BTHWC)
    return flops, norms
