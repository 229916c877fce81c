"""The two heavy networks: uint8 frames in, fp32 features out. A runtime may execute them elsewhere.

Know neither policy nor classifier. Free of data-dependent Python, so that they can be traced and converted; the number
of clips is dynamic, the frames of a clip (temporal shift) are not.

Shape suffixes: N images (clips x frames, frames of a clip consecutive), H rows, W columns, C colour or feature
channels, h and w cells of a feature map (32 pixels a side).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.adafocus.config import AdaFocusConfig, ChannelOrder
from models.backbones.build import build_backbone


class Normalize(nn.Module):
    """RGB bytes to what the backbone was trained on. The numbers come from the configuration, not from the weights."""

    scale_C: Tensor
    offset_C: Tensor

    def __init__(
        self, mean: tuple[float, float, float], std: tuple[float, float, float], channel_order: ChannelOrder
    ) -> None:
        super().__init__()
        self.swap = channel_order == "bgr"
        mean_C, std_C = torch.tensor(mean), torch.tensor(std)
        self.register_buffer("scale_C", 1 / (255 * std_C), persistent=False)
        self.register_buffer("offset_C", -mean_C / std_C, persistent=False)

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        # Turned first, then scaled: the other way round OpenVINO takes 1.4 times as long for a compact glance.
        pixels_NCHW = frames_NHWC.permute(0, 3, 1, 2)
        if self.swap:
            pixels_NCHW = pixels_NCHW.flip(1)
        return pixels_NCHW.to(self.scale_C.dtype) * self.scale_C[:, None, None] + self.offset_C[:, None, None]


class GlanceEncoder(nn.Module):
    """f_G: the frames at `glance_indices`, uint8 frames_NHWC at `frame_size`, to fp32 maps_NChw."""

    def __init__(self, config: AdaFocusConfig) -> None:
        super().__init__()
        self.normalize = Normalize(config.mean, config.std, config.channel_order)
        self.backbone = build_backbone(config.glance)
        self.num_features = self.backbone.num_features
        self.size = config.glance_size if config.glance_size != config.frame_size else None
        self.num_frames = config.num_glance_frames if config.temporal_shift else None

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        images_NCHW: Tensor = self.normalize(frames_NHWC)
        if self.size is not None:
            images_NCHW = F.interpolate(images_NCHW, self.size, mode="bilinear", align_corners=False)
        maps_NChw: Tensor = self.backbone(images_NCHW, self.num_frames)
        return maps_NChw.float()


class FocusEncoder(nn.Module):
    """f_L: the frames of cubes, uint8 crops_NHWC, to fp32 features_NC, the mean over each feature map."""

    def __init__(self, config: AdaFocusConfig) -> None:
        super().__init__()
        self.normalize = Normalize(config.mean, config.std, config.channel_order)
        self.backbone = build_backbone(config.focus)
        self.num_features = self.backbone.num_features
        self.num_frames = config.cube_size[0]
        self.shifts = config.temporal_shift

    def forward(self, crops_NHWC: Tensor) -> Tensor:
        return self.maps(crops_NHWC, self.num_frames).mean(dim=(2, 3))

    def maps(self, crops_NHWC: Tensor, num_frames: int) -> Tensor:
        """fp32 maps_NChw, any crop size; `num_frames` a cube: one more than usual for the enlarged cubes of Eq. 5."""
        maps_NChw: Tensor = self.backbone(self.normalize(crops_NHWC), num_frames if self.shifts else None)
        return maps_NChw.float()
