"""TSM whole: uint8 frames to features, features to logits; and what it costs. Knows no runtime and no loss.

Shape suffixes: B clips, T frames, N = B * T (frames of a clip consecutive), H rows, W columns, C channels or classes,
D features, h and w cells.
"""

from functools import cache

import torch
from torch import Tensor, nn

from models.backbones.build import build_backbone
from models.flops import count_call_flops
from models.normalize import Normalize
from models.seeded import seeded
from models.tsm.config import TsmConfig


class Encoder(nn.Module):
    """uint8 frames_NHWC to fp32 features_BD, the mean over each frame's map and over frames: for the one linear layer
    that follows the same as the mean of its logits. A runtime may execute it; the frames of a clip are not dynamic."""

    def __init__(self, config: TsmConfig) -> None:
        super().__init__()
        self.normalize = Normalize(config.mean, config.std, config.channel_order)
        self.backbone = build_backbone(config.backbone)
        self.num_features = self.backbone.num_features
        self.num_frames = config.num_frames
        self.shifts = config.temporal_shift

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        images_NCHW: Tensor = self.normalize(frames_NHWC)
        maps_NChw: Tensor = self.backbone(images_NCHW, self.num_frames if self.shifts else None)
        features_ND = maps_NChw.float().mean(dim=(2, 3))
        return torch.unflatten(features_ND, 0, (-1, self.num_frames)).mean(dim=1)


class Tsm(nn.Module):
    """uint8 clips_BTHWC to logits_BC."""

    def __init__(self, config: TsmConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(self.encoder.num_features, config.num_classes)

    def forward(self, clips_BTHWC: Tensor) -> Tensor:
        wanted = (self.config.num_frames, *self.config.frame_size, 3)
        if clips_BTHWC.shape[1:] != wanted or clips_BTHWC.dtype != torch.uint8:
            raise ValueError(
                f"clips are {clips_BTHWC.dtype} {tuple(clips_BTHWC.shape)}, but must be torch.uint8 (clips, "
                f"{', '.join(map(str, wanted))}); sample and resize the video as the model's clip rule says"
            )
        logits_BC: Tensor = self.classifier(self.dropout(self.encoder(clips_BTHWC.flatten(0, 1))))
        return logits_BC


def build_network(config: TsmConfig, seed: int) -> Tsm:
    """As `seeded` says; the weights follow from (config, seed)."""
    return seeded(lambda: Tsm(config), seed)


@cache
def step_flops(config: TsmConfig) -> tuple[int]:
    """Multiply-adds a clip, in the one step that there is."""
    with torch.device("meta"):
        network = Tsm(config).eval()
        clips_BTHWC = torch.empty(1, config.num_frames, *config.frame_size, 3, dtype=torch.uint8)
        return (count_call_flops(network, clips_BTHWC),)
