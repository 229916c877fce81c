"""The two heavy networks: uint8 frames in, fp32 features out. A runtime may execute them elsewhere.

Know neither policy nor classifier. Free of data-dependent Python, so that they can be traced and converted; the number
of clips is dynamic, the frames of a clip (temporal shift) are not.

Shape suffixes: N images (clips x frames, frames of a clip consecutive), M images that cubes show of them,
H rows, W columns, C colour or feature channels, h and w cells of a feature map (32 pixels a side).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.adafocus.config import DESCRIBED_LAYERS, LOCAL_LAYER, AdaFocusConfig
from models.adafocus.pose import LAYERS as POSE_LAYERS
from models.adafocus.pose import PoseHeads
from models.backbones.build import build_backbone
from models.backbones.config import BackboneConfig
from models.backbones.mobilenet_v2 import MobileNetV2
from models.normalize import Normalize


def shrinking(whole: tuple[int, int], wanted: tuple[int, int]) -> list[tuple[int, int]]:
    """Sizes to go through, each at least half of the one before: bilinear shrinking beyond that skips pixels."""
    sizes = []
    while whole != wanted:
        whole = (max(wanted[0], -(-whole[0] // 2)), max(wanted[1], -(-whole[1] // 2)))
        sizes.append(whole)
    return sizes


class GlanceEncoder(nn.Module):
    """f_G: the frames at `glance_indices`, uint8 frames_NHWC at `frame_size`, to fp32 maps_NChw."""

    def __init__(self, config: AdaFocusConfig) -> None:
        super().__init__()
        self.normalize = Normalize(config.mean, config.std, config.channel_order)
        self.backbone = build_backbone(config.glance)
        self.num_features = self.backbone.num_features
        self.sizes = shrinking(config.frame_size, config.glance_size)
        self.num_frames = config.num_glance_frames if config.temporal_shift else None

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        images_NCHW: Tensor = self.normalize(frames_NHWC)
        for size in self.sizes:
            images_NCHW = F.interpolate(images_NCHW, size, mode="bilinear", align_corners=False)
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


_MIDDLE, _LAST = DESCRIBED_LAYERS


class FrameEncoder(nn.Module):
    """Of frames by themselves, uint8 frames_NHWC, fp32 features_NC: the mean over the last map, behind that over the
    middle one's where the configuration has `middle_features`.

    The same for glance and cubes; `size` is that of the frames that come, `shrunk_to` what the backbone sees.
    """

    def __init__(
        self, config: AdaFocusConfig, backbone: BackboneConfig, size: tuple[int, int], shrunk_to: tuple[int, int]
    ) -> None:
        super().__init__()
        self.normalize = Normalize(config.mean, config.std, config.channel_order)
        self.backbone = build_backbone(backbone)
        self.sizes = shrinking(size, shrunk_to)
        self.middle = 0
        if config.middle_features and isinstance(self.backbone, MobileNetV2):
            self.middle = self.backbone.channels[_MIDDLE]
        self.num_features: int = self.middle + self.backbone.num_features
        self.local_features = config.local_features

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        features_NC, _ = self.look(frames_NHWC)
        return features_NC

    def look_with(self, pose: PoseHeads, frames_NHWC: Tensor) -> tuple[Tensor, ...]:
        """What `KeyPoints` reads: the features, what the pose heads say (without gradient), and the maps that are read
        at key points, the finest first; none without `local_features`."""
        features_NC, maps = self.look(frames_NHWC)
        pose_NChw, finest_NChw = pose.look([maps[layer] for layer in POSE_LAYERS])
        if not self.local_features:
            return features_NC, pose_NChw.detach()
        return features_NC, pose_NChw.detach(), finest_NChw, maps[LOCAL_LAYER].float()

    def look(self, frames_NHWC: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """The features, and the maps that key points are found on and read at, by layer; none of a backbone that is no
        MobileNetV2."""
        images_NCHW: Tensor = self.normalize(frames_NHWC)
        for size in self.sizes:
            images_NCHW = F.interpolate(images_NCHW, size, mode="bilinear", align_corners=False)
        if not isinstance(self.backbone, MobileNetV2):
            return self.backbone(images_NCHW).float().mean(dim=(2, 3)), {}
        layers = sorted({*POSE_LAYERS, LOCAL_LAYER, *DESCRIBED_LAYERS})
        maps = dict(zip(layers, self.backbone.maps(images_NCHW, layers), strict=True))
        described = DESCRIBED_LAYERS if self.middle else (_LAST,)
        features_NC = torch.cat([maps[layer].float().mean(dim=(2, 3)) for layer in described], dim=1)
        return features_NC, maps


class MotionEncoder(nn.Module):
    """Sees what changes from the first to the second frame of each pair. uint8 crops_NHWC hold the pairs one behind the
    other, at `motion_window`; fp32 features_PD are the means over MobileNetV2's middle and last map."""

    def __init__(self, config: AdaFocusConfig) -> None:
        super().__init__()
        self.normalize = Normalize(config.mean, config.std, config.channel_order)
        self.backbone = MobileNetV2(config.motion.width_mult, padding=config.motion.padding)
        self.sizes = shrinking(config.motion_window, config.motion_size)

    def forward(self, crops_NHWC: Tensor) -> Tensor:
        images_PCHW = self.normalize.differences(crops_NHWC, 2)
        for size in self.sizes:
            images_PCHW = F.interpolate(images_PCHW, size, mode="bilinear", align_corners=False)
        maps = self.backbone.maps(images_PCHW, DESCRIBED_LAYERS)
        return torch.cat([map_PChw.float().mean(dim=(2, 3)) for map_PChw in maps], dim=1)
