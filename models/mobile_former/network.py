"""Video Mobile-Former whole: uint8 frames to features, features to logits. Knows no runtime and no loss.

Shape suffixes: B clips, T frames, N = B * T (frames of a clip consecutive), H rows, W columns, C channels or classes,
L = 1 or T sets of tokens, M tokens, D features.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.mobile_former.block import Block, pointwise
from models.mobile_former.config import MobileFormerConfig
from models.normalize import Normalize
from models.seeded import seeded

_STEM_KERNEL = 5  # frames
_HEAD_EXPANSION = 6  # Mobile-Former's; a baseline has X3D's head


class Stem(nn.Module):
    """1x3x3 convolution on all frames, then 5x1x1 depthwise with the large temporal stride (X3D's, section 3)."""

    def __init__(self, config: MobileFormerConfig) -> None:
        super().__init__()
        dim, half = config.dim, _STEM_KERNEL // 2
        self.spatial = nn.Conv3d(3, dim, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        stride = (config.stem_temporal_stride, 1, 1)
        self.temporal: nn.Module = nn.Conv3d(
            dim, dim, (_STEM_KERNEL, 1, 1), stride, (half, 0, 0), groups=dim, bias=False
        )
        self.norm: nn.Module = nn.BatchNorm3d(dim)

    def forward(self, pixels_BCTHW: Tensor) -> Tensor:
        return F.relu(self.norm(self.temporal(self.spatial(pixels_BCTHW))))


class Encoder(nn.Module):
    """uint8 frames_NHWC to fp32 features_BD: means over the clip, and the first token. A runtime may execute it.

    Free of data-dependent Python; the number of clips is dynamic, the frames of one are not.
    """

    def __init__(self, config: MobileFormerConfig) -> None:
        super().__init__()
        self.num_frames = config.num_frames
        self.tokens_per_frame = config.tokens_per_frame
        self.normalize = Normalize(config.mean, config.std, config.channel_order)
        self.stem = Stem(config)
        self.tokens_MD = nn.Parameter(torch.empty(config.num_tokens, config.token_dim)) if config.former else None
        blocks = []
        channels = config.dim
        for stage, num_blocks in enumerate(config.blocks):
            for number in range(num_blocks):
                blocks.append(Block(config, stage, number, channels))
                channels = config.widths[stage]
        self.blocks = nn.ModuleList(blocks)
        wide = _HEAD_EXPANSION * channels if config.former else config.hidden(channels)
        self.head = pointwise(channels, wide)
        self.head_norm = nn.BatchNorm3d(wide)
        self.num_features = wide + (config.token_dim if config.former else 0)

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        return self.features(frames_NHWC, self.num_frames)

    def features(self, frames_NHWC: Tensor, num_frames: int) -> Tensor:
        """Clips of another number of frames than the configuration's, as training may use."""
        pixels_NCHW: Tensor = self.normalize(frames_NHWC)
        pixels_BTCHW = pixels_NCHW.reshape(-1, num_frames, *pixels_NCHW.shape[1:])
        x_BCTHW = self.stem(pixels_BTCHW.transpose(1, 2))
        tokens_BLMD = self._tokens(x_BCTHW)
        for block in self.blocks:
            x_BCTHW, tokens_BLMD = block(x_BCTHW, tokens_BLMD)
        means_BC = F.relu(self.head_norm(self.head(x_BCTHW))).mean(dim=(2, 3, 4))
        if self.tokens_MD is None:
            return means_BC.float()
        return torch.cat((F.hardswish(means_BC), tokens_BLMD[:, 0, 0]), dim=1).float()

    def _tokens(self, x_BCTHW: Tensor) -> Tensor:
        """The learned tokens, the same for every clip and, where each frame has its own, for every frame."""
        if self.tokens_MD is None:
            return x_BCTHW.new_empty(0)
        batch, _, num_frames = x_BCTHW.shape[:3]
        return self.tokens_MD.expand(batch, num_frames if self.tokens_per_frame else 1, -1, -1)


class Classifier(nn.Module):
    """features_BD to logits_BC, fp32: Mobile-Former's two layers; a baseline's are X3D's."""

    def __init__(self, config: MobileFormerConfig, num_features: int) -> None:
        super().__init__()
        self.former = config.former
        self.hidden = nn.Linear(num_features, config.head_hidden, bias=config.former)
        self.norm = nn.BatchNorm1d(config.head_hidden) if config.former else None
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.head_hidden, config.num_classes)

    def forward(self, features_BD: Tensor) -> Tensor:
        hidden_BD = self.hidden(features_BD)
        hidden_BD = F.relu(hidden_BD) if self.norm is None else F.hardswish(self.norm(hidden_BD))
        logits_BC: Tensor = self.out(self.dropout(hidden_BD))
        return logits_BC


class VideoMobileFormer(nn.Module):
    """Or, without `config.former`, a Mobile3D baseline."""

    def __init__(self, config: MobileFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.classifier = Classifier(config, self.encoder.num_features)
        self.apply(_initialise)
        if self.encoder.tokens_MD is not None:
            nn.init.normal_(self.encoder.tokens_MD)

    def forward(self, clips_BTHWC: Tensor) -> Tensor:
        """logits_BC of uint8 clips of the configuration's frame size, of any number of frames.

        Raises ValueError for another shape or type.
        """
        self._check(clips_BTHWC)
        features_BD = self.encoder.features(clips_BTHWC.flatten(0, 1), clips_BTHWC.shape[1])
        logits_BC: Tensor = self.classifier(features_BD)
        return logits_BC

    def _check(self, clips_BTHWC: Tensor) -> None:
        size = (*self.config.frame_size, 3)
        shape = tuple(clips_BTHWC.shape)
        if len(shape) != 5 or shape[2:] != size or 0 in shape or clips_BTHWC.dtype != torch.uint8:
            raise ValueError(
                f"clips are {clips_BTHWC.dtype} {shape}, but must be torch.uint8 (clips, frames, {size[0]}, {size[1]}, "
                f"3): rows and columns of the model's frame_size, RGB; resize them first"
            )


def build_network(config: MobileFormerConfig, seed: int) -> VideoMobileFormer:
    """As `seeded` says; the weights follow from (config, seed)."""
    return seeded(lambda: VideoMobileFormer(config), seed)


def _initialise(module: nn.Module) -> None:
    """Kaiming for convolutions, fan out, as X3D; small normal for linear layers, as Mobile-Former."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
