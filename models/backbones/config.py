"""Which image network, how wide, with which strides and padding: a value.

Knows no layer.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

BackboneName: TypeAlias = Literal["mobilenet_v2", "resnet18", "resnet34", "resnet50"]
Padding: TypeAlias = Literal["symmetric", "same"]

STRIDE = 32
"""Input pixels per cell of a feature map, per side. Every backbone here has five stride-2 layers."""


def num_cells(size_px: int) -> int:
    """Cells of the feature map along a side of `size_px` pixels: five halvings, each rounded up."""
    return -(-size_px // STRIDE)


@dataclass(frozen=True, slots=True)
class BackboneConfig:
    """`width_mult` is MobileNetV2's; `stride_in_1x1` (ResNet v1) is ResNet-50's, else the 3x3 strides (v1.5).

    `padding` is that of MobileNetV2's stride-2 convolutions: by one on every side (torchvision), or, `same`, right and
    below alone, as TensorFlow pads sides of an even number of pixels. Weights that were trained with the one are worse
    with the other: MoveNet's are TensorFlow's.
    """

    name: BackboneName
    width_mult: float = 1.0
    stride_in_1x1: bool = False
    padding: Padding = "symmetric"

    def __post_init__(self) -> None:
        if self.name not in get_args(BackboneName):
            raise ValueError(f"backbone is {self.name!r}, but must be one of {', '.join(get_args(BackboneName))}")
        if not 0 < self.width_mult <= 4:
            raise ValueError(f"width_mult is {self.width_mult}, but must lie in (0, 4]; 1.0 is the published width")
        if self.name != "mobilenet_v2" and self.width_mult != 1.0:
            raise ValueError(f"width_mult is {self.width_mult}, but {self.name} has one width; use 1.0 or mobilenet_v2")
        if self.padding not in get_args(Padding):
            raise ValueError(f"padding is {self.padding!r}, but must be one of {', '.join(get_args(Padding))}")
        if self.name != "mobilenet_v2" and self.padding != "symmetric":
            raise ValueError(f"padding is {self.padding!r}, but only mobilenet_v2 takes another than symmetric")
        if self.name != "resnet50" and self.stride_in_1x1:
            raise ValueError(f"stride_in_1x1 is set, but {self.name} has no strided bottleneck; only resnet50 takes it")

    def check_size(self, size_px: tuple[int, int]) -> None:
        """ValueError for images of a (rows, columns) that this backbone's padding does not suit."""
        if self.padding == "same" and any(side % STRIDE for side in size_px):
            raise ValueError(
                f"images of {size_px} (rows, columns) do not suit padding 'same': sides must be multiples of {STRIDE}, "
                "so that every stride-2 layer halves an even number of pixels"
            )
