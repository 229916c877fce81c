"""What pixel values a network was trained on: the order of colours, ImageNet's mean and deviation. Plain values."""

from typing import Literal, TypeAlias

ChannelOrder: TypeAlias = Literal["rgb", "bgr"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Both of RGB values in [0, 1]."""
