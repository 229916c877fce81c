"""The shape of one Video Mobile-Former, or of a Mobile3D baseline, as a value that goes into JSON and back.

Knows no layer and no weights. The paper's ablations (Tables 2 and 6 to 11) are fields and their values.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from models.channels import IMAGENET_MEAN, IMAGENET_STD, ChannelOrder

Depthwise: TypeAlias = Literal["2d", "2+1d", "3d"]
Activation: TypeAlias = Literal["relu", "dynamic_relu", "frame_dynamic_relu"]

NUM_STAGES = 4


@dataclass(frozen=True, slots=True)
class MobileFormerConfig:
    """Sizes are (rows, columns) in pixels. Raises ValueError naming the value, the rule and the way out."""

    family: ClassVar[str] = "video_mobile_former"
    """Its name in `models.families`."""
    num_classes: int
    blocks: tuple[int, ...]
    """Of each of the four stages (the paper's #Blocks). The first of a stage halves rows and columns."""
    dim: int
    """Channels of the stem and of stage 1 (#Dim); each further stage has twice as many, rounded to 16."""
    expansion: float
    """Hidden channels of a block relative to what it gives (#Exp), rounded down."""
    num_frames: int = 64
    """T: a clip's frames, spread over the whole video."""
    frame_size: tuple[int, int] = (224, 224)
    stem_temporal_stride: int = 4
    stage_temporal_strides: tuple[int, ...] = (1,) * NUM_STAGES
    """Of each stage's first block. Table 8's "each stage": 2 everywhere, and 1 in the stem."""
    former: bool = True
    """False: a Mobile3D baseline, without Former branch, bridges and tokens."""
    num_tokens: int = 6
    """M: global tokens of a clip, or of each frame (Table 6)."""
    tokens_per_frame: bool = False
    """Table 6's M x T': bridges stay within a frame, the Former sees all tokens of the clip."""
    token_dim: int = 128
    depthwise: Depthwise = "3d"
    activation: Activation = "frame_dynamic_relu"
    """`dynamic_relu` is Mobile-Former's, from the first token alone."""
    squeeze_excitation: bool = True
    """In the first of every two blocks of a stage, as X3D."""
    bridge_heads: int = 2
    former_heads: int = 4
    head_hidden: int = 1920
    dropout: float = 0.2
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Of pixel values in [0, 1], in the order of `channel_order`, as `std`."""
    std: tuple[float, float, float] = IMAGENET_STD
    channel_order: ChannelOrder = "rgb"

    def __post_init__(self) -> None:
        _check_numbers(self)
        _check_choices(self)
        _check_fit(self)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        widths = [self.dim]
        for _ in range(NUM_STAGES - 1):
            widths.append(_round_width(2 * widths[-1]))
        return tuple(widths)

    def hidden(self, channels: int) -> int:
        """Channels within a block that gives `channels`."""
        return int(self.expansion * channels)

    @property
    def depth(self) -> int:
        """Blocks in all."""
        return sum(self.blocks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `from_dict(json.loads(json.dumps(config.to_dict()))) == config`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "MobileFormerConfig":
        """Strict: ValueError for a missing, unknown or ill-typed entry."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown entries {unknown}; a MobileFormerConfig has {sorted(known)}")
        try:
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            return cls(**plain)
        except TypeError as error:
            raise ValueError(f"not a MobileFormerConfig: {error}") from error


def _variant(num_classes: int, blocks: tuple[int, ...], dim: int, expansion: float) -> MobileFormerConfig:
    return MobileFormerConfig(num_classes=num_classes, blocks=blocks, dim=dim, expansion=expansion)


def former_560m(num_classes: int) -> MobileFormerConfig:
    """Table 1's smallest: 64 frames of 172 x 172, an eighth of them after the stem."""
    return replace(_variant(num_classes, (1, 2, 3, 2), 16, 2.25), frame_size=(172, 172), stem_temporal_stride=8)


def former_1g(num_classes: int) -> MobileFormerConfig:
    return _variant(num_classes, (1, 2, 3, 2), 16, 2.25)


def former_2g(num_classes: int) -> MobileFormerConfig:
    return _variant(num_classes, (1, 2, 4, 2), 20, 2.25)


def former_5g(num_classes: int) -> MobileFormerConfig:
    return _variant(num_classes, (1, 2, 12, 4), 24, 3.0)


def compact(num_classes: int) -> MobileFormerConfig:
    """For two cores and hundreds of clips: the 560M's depth and width on 32 frames of 112 x 144, a small head."""
    return replace(
        _variant(num_classes, (1, 2, 3, 2), 16, 2.25),
        num_frames=32,
        frame_size=(112, 144),
        head_hidden=256,
        dropout=0.5,
    )


def tiny(num_classes: int = 5) -> MobileFormerConfig:
    """For tests: milliseconds a clip."""
    return replace(
        _variant(num_classes, (1, 1, 1, 1), 8, 2.0),
        num_frames=8,
        frame_size=(32, 40),
        num_tokens=3,
        token_dim=16,
        head_hidden=32,
    )


VARIANTS = {
    "video-mobile-former-560m": former_560m,
    "video-mobile-former-1g": former_1g,
    "video-mobile-former-2g": former_2g,
    "video-mobile-former-5g": former_5g,
    "video-mobile-former-compact": compact,
}
"""By the name that their bundles have."""


def mobile3d(config: MobileFormerConfig) -> MobileFormerConfig:
    """The paper's baseline of a variant: Former branch and bridges removed (section 4, Table 2)."""
    return replace(config, former=False, activation="relu")


def _round_width(width: float, divisor: int = 16) -> int:
    """To the nearest multiple, never more than a tenth below (X3D's rule)."""
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded


def _check_numbers(config: MobileFormerConfig) -> None:
    if type(config.num_classes) is not int or config.num_classes < 2:
        raise ValueError(f"num_classes is {config.num_classes!r}, but a choice needs at least 2")
    for name, count in (("blocks", NUM_STAGES), ("stage_temporal_strides", NUM_STAGES), ("frame_size", 2)):
        value = getattr(config, name)
        if len(value) != count or any(type(entry) is not int or entry < 1 for entry in value):
            raise ValueError(f"{name} is {value!r}, but must be {count} whole numbers of at least 1")
    counts = ("dim", "num_frames", "stem_temporal_stride", "num_tokens", "token_dim", "bridge_heads", "former_heads")
    for name in (*counts, "head_hidden"):
        value = getattr(config, name)
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} is {value!r}, but must be whole and at least 1")
    if not (isinstance(config.expansion, int | float) and math.isfinite(config.expansion) and config.expansion >= 1):
        raise ValueError(
            f"expansion is {config.expansion!r}, but must be a number of at least 1; the paper has 2.25, 3"
        )
    if not 0 <= config.dropout < 1:
        raise ValueError(f"dropout is {config.dropout}, but must lie in [0, 1); 0 switches it off")
    if len(config.mean) != 3 or len(config.std) != 3 or min(config.std) <= 0:
        raise ValueError(f"mean {config.mean} and std {config.std} must be three numbers each, std above 0")


def _check_choices(config: MobileFormerConfig) -> None:
    for name, choices in (("depthwise", Depthwise), ("activation", Activation), ("channel_order", ChannelOrder)):
        if getattr(config, name) not in get_args(choices):
            raise ValueError(f"{name} is {getattr(config, name)!r}, but must be one of {get_args(choices)}")
    for name in ("former", "tokens_per_frame", "squeeze_excitation"):
        if type(getattr(config, name)) is not bool:
            raise ValueError(f"{name} is {getattr(config, name)!r}, but must be true or false")


def _check_fit(config: MobileFormerConfig) -> None:
    if not config.former and config.activation != "relu":
        raise ValueError(f"activation is {config.activation!r}, but without a former there are no tokens; take 'relu'")
    if config.tokens_per_frame and set(config.stage_temporal_strides) != {1}:
        raise ValueError("tokens_per_frame needs stage_temporal_strides of 1: a token's frame must stay a frame")
    if any(width % config.bridge_heads for width in config.widths):
        raise ValueError(f"bridge_heads is {config.bridge_heads}, but must divide the widths {config.widths}")
    if config.token_dim % config.former_heads:
        raise ValueError(f"former_heads is {config.former_heads}, but must divide the token_dim {config.token_dim}")
