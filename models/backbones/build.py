"""From a `BackboneConfig` to its network. Knows no weights."""

from typing import TypeAlias

from models.backbones.config import BackboneConfig
from models.backbones.mobilenet_v2 import MobileNetV2
from models.backbones.resnet import ResNet

Backbone: TypeAlias = MobileNetV2 | ResNet
"""Called with (images_NCHW, num_frames or None), gives maps_NChw; `num_features` is the map's channel count."""


def build_backbone(config: BackboneConfig) -> Backbone:
    match config.name:
        case "mobilenet_v2":
            return MobileNetV2(config.width_mult, padding=config.padding)
        case "resnet18":
            return ResNet(18)
        case "resnet34":
            return ResNet(34)
        case "resnet50":
            return ResNet(50, stride_in_1x1=config.stride_in_1x1)
