"""The two heavy networks: uint8 frames in, fp32 features out. A runtime may execute them elsewhere.

Know neither policy nor classifier. Free of data-dependent Python, so that they can be traced and converted; the number
of clips is dynamic, the frames of a clip (temporal shift) are not.

Shape suffixes: N images (clips x frames, frames of a clip consecutive), M images that cubes show of them,
H rows, W columns, C colour or feature channels, h and w cells of a feature map (32 pixels a side).
"""

from torch import Tensor, nn
from torch.nn import functional as F

from models.adafocus.config import AdaFocusConfig
from models.backbones.build import build_backbone
from models.normalize import Normalize


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


_DIFFERENCE_SCALE = 2.0
"""Neighbouring frames differ from each other by less than from the mean colour, which ImageNet's networks know."""


class FocusEncoder(nn.Module):
    """f_L: the frames of cubes, uint8 crops_NHWC, to fp32 features_MC, the mean over each feature map.

    M images: the frames, or, of each cube by itself, their differences.
    """

    def __init__(self, config: AdaFocusConfig) -> None:
        super().__init__()
        self.normalize = Normalize(config.mean, config.std, config.channel_order)
        self.backbone = build_backbone(config.focus)
        self.num_features = self.backbone.num_features
        self.num_frames = config.cube_size[0]
        self.shifts = config.temporal_shift
        self.sees_differences = config.focus_input == "differences"

    def forward(self, crops_NHWC: Tensor) -> Tensor:
        return self.maps(crops_NHWC, self.num_frames).mean(dim=(2, 3))

    def maps(self, crops_NHWC: Tensor, num_frames: int) -> Tensor:
        """fp32 maps_MChw, any crop size; `num_frames` a cube: one more than usual for the enlarged cubes of Eq. 5."""
        images_MCHW: Tensor
        if self.sees_differences:
            images_MCHW = _DIFFERENCE_SCALE * self.normalize.differences(crops_NHWC, num_frames)
            num_frames -= 1
        else:
            images_MCHW = self.normalize(crops_NHWC)
        maps_MChw: Tensor = self.backbone(images_MCHW, num_frames if self.shifts else None)
        return maps_MChw.float()
