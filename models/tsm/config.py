"""The shape of one TSM as a value that goes into JSON and back. Knows no layer and no weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, get_args

from models.backbones.config import BackboneConfig
from models.channels import IMAGENET_MEAN, IMAGENET_STD, ChannelOrder


@dataclass(frozen=True, slots=True)
class TsmConfig:
    """Its paper's 8 frames of 224 x 224 unless told otherwise. Raises ValueError naming the value, the rule and the way
    out."""

    family: ClassVar[str] = "tsm"
    """Its name in `models.families`."""
    num_classes: int
    backbone: BackboneConfig
    num_frames: int = 8
    frame_size: tuple[int, int] = (224, 224)
    """(rows, columns) in pixels."""
    temporal_shift: bool = True
    """False: TSN (Wang et al., ECCV 2016), each frame by itself."""
    dropout: float = 0.5
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Of pixel values in [0, 1], in the order of `channel_order`, as `std`."""
    std: tuple[float, float, float] = IMAGENET_STD
    channel_order: ChannelOrder = "rgb"

    def __post_init__(self) -> None:
        if type(self.num_classes) is not int or self.num_classes < 2:
            raise ValueError(f"num_classes is {self.num_classes!r}, but a choice needs at least 2")
        size = self.frame_size
        if len(size) != 2 or any(type(side) is not int or side < 1 for side in size):
            raise ValueError(f"frame_size is {size!r}, but must be 2 whole numbers of at least 1: rows, columns")
        if type(self.num_frames) is not int or self.num_frames < 1:
            raise ValueError(f"num_frames is {self.num_frames!r}, but must be whole and at least 1")
        if type(self.temporal_shift) is not bool:
            raise ValueError(f"temporal_shift is {self.temporal_shift!r}, but must be true or false")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, but must lie in [0, 1); 0 switches it off")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean} and std {self.std} must be three numbers each, std above 0")
        if self.channel_order not in get_args(ChannelOrder):
            raise ValueError(f"channel_order is {self.channel_order!r}, but must be one of {get_args(ChannelOrder)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `from_dict(json.loads(json.dumps(config.to_dict()))) == config`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TsmConfig":
        """Strict: ValueError for a missing, unknown or ill-typed entry."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown entries {unknown}; a TsmConfig has {sorted(known)}")
        try:
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            return cls(**{**plain, "backbone": BackboneConfig(**values["backbone"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a TsmConfig: {error}") from error


def mobilenet_v2(num_classes: int) -> TsmConfig:
    return TsmConfig(num_classes, BackboneConfig("mobilenet_v2"))


def resnet50(num_classes: int) -> TsmConfig:
    return TsmConfig(num_classes, BackboneConfig("resnet50"))


def tiny(num_classes: int = 5) -> TsmConfig:
    """For tests: milliseconds a clip."""
    backbone = BackboneConfig("mobilenet_v2", width_mult=0.1)
    return TsmConfig(num_classes, backbone, num_frames=4, frame_size=(32, 48))


VARIANTS = {"tsm-mobilenet-v2": mobilenet_v2, "tsm-resnet50": resnet50}
"""By the name that their bundles have."""
