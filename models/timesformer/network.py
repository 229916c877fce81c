"""TimeSformer whole: uint8 frames to features, features to logits. Knows no runtime and no loss.

Shape suffixes: B clips, T frames, N = B * T (frames of a clip consecutive), H rows, W columns, C channels or classes,
P patches of a frame, S = 1 + tokens of patches, D features.
"""

import torch
from torch import Tensor, nn

from models.normalize import Normalize
from models.seeded import seeded
from models.timesformer.block import NORM_EPS, Block, PatchStep
from models.timesformer.config import TimeSformerConfig

INITIAL_STD = 0.02


class Embedding(nn.Module):
    """uint8 frames_NHWC to tokens: patches with where and when they lie, and the class token."""

    def __init__(self, config: TimeSformerConfig) -> None:
        super().__init__()
        self.config = config
        self.normalize = Normalize(config.mean, config.std, config.channel_order)
        self.patches = nn.Conv2d(3, config.dim, config.patch_px, config.patch_px)
        self.class_D = nn.Parameter(torch.zeros(config.dim))
        self.position_SD = nn.Parameter(torch.zeros(1 + config.num_patches, config.dim))  # of the class token first
        timed = config.scheme != "space"
        self.time_TD = nn.Parameter(torch.zeros(config.num_frames, config.dim)) if timed else None

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        """tokens_BSD: the patches of all frames, a frame's consecutive; with the scheme `space`, each frame is a
        sequence of its own: tokens_NSD."""
        config = self.config
        pixels_NCHW: Tensor = self.normalize(frames_NHWC)
        patches_NPD = self.patches(pixels_NCHW).flatten(2).transpose(1, 2)
        position_PD = self.position_SD[1:]
        if self.time_TD is None:
            tokens_BPD = patches_NPD + position_PD
        else:
            place_TPD = position_PD + self.time_TD[:, None]
            patches_BTPD = patches_NPD.reshape(-1, config.num_frames, config.num_patches, config.dim)
            tokens_BPD = (patches_BTPD + place_TPD).reshape(-1, config.num_frames * config.num_patches, config.dim)
        class_B1D = (self.class_D + self.position_SD[0]).expand(tokens_BPD.shape[0], 1, -1)
        return torch.cat((class_B1D, tokens_BPD), dim=1)


class Encoder(nn.Module):
    """uint8 frames_NHWC of one view to fp32 features_BD. A runtime may execute it.

    Free of data-dependent Python; the number of clips is dynamic, the frames of one are not.
    """

    def __init__(self, config: TimeSformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        last = max(config.depth - 1, 1)
        self.blocks = nn.ModuleList(Block(config, config.drop_path * i / last) for i in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=NORM_EPS)

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        tokens_BSD = self.embedding(frames_NHWC)
        for block in self.blocks:
            tokens_BSD = block(tokens_BSD)
        class_BD = tokens_BSD[:, 0]
        if self.config.scheme == "space":  # the mean over frames comes before the norm
            class_BD = class_BD.reshape(-1, self.config.num_frames, self.config.dim).mean(dim=1)
        features_BD: Tensor = self.norm(class_BD)
        return features_BD.float()


class TimeSformer(nn.Module):
    """One view of a clip to logits. The logits of several views are summed by who asks."""

    def __init__(self, config: TimeSformerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.classifier = nn.Linear(config.dim, config.num_classes)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.encoder.embedding.class_D, std=INITIAL_STD)
        nn.init.trunc_normal_(self.encoder.embedding.position_SD, std=INITIAL_STD)
        for module in self.modules():
            if isinstance(module, PatchStep):
                assert isinstance(module.fc, nn.Linear)
                nn.init.zeros_(module.fc.weight)

    @property
    def glance(self) -> Encoder:
        """The part that looks, at the centre view first: what an image ViT's weights are for."""
        return self.encoder

    def forward(self, clips_BTHWC: Tensor) -> Tensor:
        """logits_BC of uint8 clips of the configuration's frames: of one view, or, where a frame is as wide as all of
        them, summed over the views.

        Raises ValueError for another shape or type.
        """
        self._check(clips_BTHWC)
        rows, columns = self.config.view_size
        num_views = clips_BTHWC.shape[3] // columns
        views_BVTHWC = torch.unflatten(clips_BTHWC, 3, (num_views, columns)).movedim(3, 1)
        features_XD = self.encoder(views_BVTHWC.reshape(-1, rows, columns, 3))  # X = B * V
        logits_BC = torch.unflatten(self.classifier(features_XD), 0, (-1, num_views)).sum(dim=1)
        return logits_BC

    def _check(self, clips_BTHWC: Tensor) -> None:
        frames, (rows, columns) = self.config.num_frames, self.config.view_size
        shape = tuple(clips_BTHWC.shape)
        taken = [(frames, rows, columns, 3), (frames, *self.config.frame_size, 3)]
        if shape[1:] not in taken or 0 in shape or clips_BTHWC.dtype != torch.uint8:
            raise ValueError(
                f"clips are {clips_BTHWC.dtype} {shape}, but must be torch.uint8 (clips, {frames}, {rows}, {columns} "
                f"or {taken[1][2]}, 3): frames, rows and columns of one view or of all, RGB; sample and resize first"
            )


def build_network(config: TimeSformerConfig, seed: int) -> TimeSformer:
    """As `seeded` says; the weights follow from (config, seed)."""
    return seeded(lambda: TimeSformer(config), seed)


def _initialise(module: nn.Module) -> None:
    """The authors': small truncated normal, biases of zero. Time embeddings stay zero, as they leave them."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=INITIAL_STD)
        nn.init.zeros_(module.bias)
