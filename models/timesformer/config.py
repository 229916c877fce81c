"""The shape of one TimeSformer as a value that goes into JSON and back. Knows no layer and no weights.

Sizes are (rows, columns) in pixels; a grid is (rows, columns) in patches.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from models.channels import ChannelOrder

Scheme: TypeAlias = Literal["space", "joint", "divided", "local_global", "axial"]
"""Figure 2 of the paper, from left to right."""

NUM_VIEWS = 3  # left, centre, right; of upright pictures top, centre, bottom


@dataclass(frozen=True, slots=True)
class TimeSformerConfig:
    """The paper's Base unless told otherwise. Raises ValueError naming the value, the rule and the way out."""

    family: ClassVar[str] = "timesformer"
    num_classes: int
    scheme: Scheme = "divided"
    num_frames: int = 8
    view_size: tuple[int, int] = (224, 224)
    """Of what one step sees: a square of the picture whose short side it is."""
    num_views: int = NUM_VIEWS
    """Steps: 1, the centre; or 3, the centre, then the two ends of the picture's long side."""
    patch_px: int = 16
    dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_dim: int = 3072
    drop_path: float = 0.1
    """Training only: of the last block; it grows linearly from 0 in the first."""
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    """Of pixel values in [0, 1], in the order of `channel_order`, as `std`. These two are the authors'."""
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    channel_order: ChannelOrder = "rgb"
    """The authors' Something-Something weights were trained on BGR."""

    def __post_init__(self) -> None:
        _check_numbers(self)
        _check_choices(self)
        _check_fit(self)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Of a clip's frames: the views side by side, in the order in which they lie in the picture."""
        rows, columns = self.view_size
        return rows, columns * self.num_views

    @property
    def grid(self) -> tuple[int, int]:
        """Patches of a view."""
        rows, columns = self.view_size
        return rows // self.patch_px, columns // self.patch_px

    @property
    def num_patches(self) -> int:
        """Of one frame of a view: the paper's N."""
        rows, columns = self.grid
        return rows * columns

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `from_dict(json.loads(json.dumps(config.to_dict()))) == config`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TimeSformerConfig":
        """Strict: ValueError for a missing, unknown or ill-typed entry."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown entries {unknown}; a TimeSformerConfig has {sorted(known)}")
        try:
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            return cls(**plain)
        except TypeError as error:
            raise ValueError(f"not a TimeSformerConfig: {error}") from error


def base(num_classes: int) -> TimeSformerConfig:
    """8 frames of 224 x 224, one in 32."""
    return TimeSformerConfig(num_classes)


def high_resolution(num_classes: int) -> TimeSformerConfig:
    """TimeSformer-HR: 16 frames of 448 x 448, one in 16."""
    return TimeSformerConfig(num_classes, num_frames=16, view_size=(448, 448))


def long_range(num_classes: int) -> TimeSformerConfig:
    """TimeSformer-L: 96 frames of 224 x 224, one in 4."""
    return TimeSformerConfig(num_classes, num_frames=96)


def with_scheme(num_classes: int, scheme: Scheme) -> TimeSformerConfig:
    """Base, with one of the five schemes of Table 1."""
    return replace(base(num_classes), scheme=scheme)


def compact(num_classes: int) -> TimeSformerConfig:
    """For two cores and hundreds of clips: 8 frames of 112 x 112, a ViT of 192 channels and 6 blocks."""
    return TimeSformerConfig(
        num_classes, view_size=(112, 112), dim=192, depth=6, num_heads=3, mlp_dim=768, drop_path=0.0
    )


def tiny(num_classes: int = 5, scheme: Scheme = "divided") -> TimeSformerConfig:
    """For tests: milliseconds a clip."""
    return TimeSformerConfig(
        num_classes,
        scheme=scheme,
        num_frames=4,
        view_size=(32, 32),
        patch_px=8,
        dim=32,
        depth=2,
        num_heads=2,
        mlp_dim=64,
        drop_path=0.0,
    )


VARIANTS: Mapping[str, Callable[[int], TimeSformerConfig]] = {
    "timesformer-base": base,
    "timesformer-hr": high_resolution,
    "timesformer-l": long_range,
    "timesformer-base-space": partial(with_scheme, scheme="space"),
    "timesformer-base-joint": partial(with_scheme, scheme="joint"),
    "timesformer-base-local-global": partial(with_scheme, scheme="local_global"),
    "timesformer-base-axial": partial(with_scheme, scheme="axial"),
    "timesformer-compact": compact,
}
"""By the name that their bundles have."""


def _check_numbers(config: TimeSformerConfig) -> None:
    if type(config.num_classes) is not int or config.num_classes < 2:
        raise ValueError(f"num_classes is {config.num_classes!r}, but a choice needs at least 2")
    size = config.view_size
    if len(size) != 2 or any(type(side) is not int or side < 1 for side in size):
        raise ValueError(f"view_size is {size!r}, but must be 2 whole numbers of at least 1: rows, columns")
    for name in ("num_frames", "patch_px", "dim", "depth", "num_heads", "mlp_dim"):
        value = getattr(config, name)
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} is {value!r}, but must be whole and at least 1")
    if not isinstance(config.drop_path, int | float) or not 0 <= config.drop_path < 1:
        raise ValueError(f"drop_path is {config.drop_path!r}, but must lie in [0, 1); 0 switches it off")
    if len(config.mean) != 3 or len(config.std) != 3 or min(config.std) <= 0:
        raise ValueError(f"mean {config.mean} and std {config.std} must be three numbers each, std above 0")


def _check_choices(config: TimeSformerConfig) -> None:
    for name, choices in (("scheme", get_args(Scheme)), ("channel_order", get_args(ChannelOrder))):
        if getattr(config, name) not in choices:
            raise ValueError(f"{name} is {getattr(config, name)!r}, but must be one of {choices}")
    if type(config.num_views) is not int or config.num_views not in (1, NUM_VIEWS):
        raise ValueError(f"num_views is {config.num_views!r}, but must be 1 (the centre) or {NUM_VIEWS}")


def _check_fit(config: TimeSformerConfig) -> None:
    if config.dim % config.num_heads:
        raise ValueError(f"num_heads is {config.num_heads}, but must divide the dim {config.dim}")
    if any(side % config.patch_px for side in config.view_size):
        raise ValueError(f"view_size is {config.view_size}, but patches of {config.patch_px} pixels must fill it")
    counts = (config.num_frames, *config.grid)
    if config.scheme == "local_global" and any(count % 2 for count in counts):
        raise ValueError(
            f"local_global splits frames and patch rows and columns in halves, but they are {counts}: take even "
            f"numbers, or another scheme"
        )
