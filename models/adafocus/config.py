"""The shape of one AdaFocusV3 model: frames, cubes, backbones and widths, as a value that goes into JSON and back.

Knows no layer and no weights. What the paper leaves open is listed in docs/decisions/0001-adafocus-v3-gaps.md.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from models.backbones.config import STRIDE, BackboneConfig
from models.backbones.widths import map_widths
from models.channels import IMAGENET_MEAN, IMAGENET_STD, ChannelOrder

Aggregation: TypeAlias = Literal["max_pool", "average", "joint_statistics", "pooled_roots"]
FocusInput: TypeAlias = Literal["frames", "differences"]
PolicyHead: TypeAlias = Literal["fully_connected", "heat_map"]
Placement: TypeAlias = Literal["learned", "random", "centre", "motion", "person"]

NUM_KEY_POINTS = 17
"""Of one person: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles."""
PYRAMID_CHANNELS = 24
"""Of the finest map of the key points' pyramid, 4 pixels a cell, whatever the backbone's width."""
LOCAL_LAYER = 13
"""Of MobileNetV2, whose map is read at key points beside that one: 16 pixels a cell."""
CHANGE_BLOCK_PX = 4
"""A side of the blocks whose change is found: windows of motion are made of whole ones."""
DESCRIBED_LAYERS = (13, 18)
"""Of MobileNetV2, whose maps' means describe a frame: the last of 16 pixels a cell, and the very last."""
_OF_PLACED = ("middle_features", "key_points", "local_features", "body_directions")


@dataclass(frozen=True, slots=True)
class AdaFocusConfig:
    """Sizes are (rows, columns) in pixels, `cube_size` (frames, rows, columns); all are checked against each other.

    Raises ValueError naming the value, the rule and the way out.
    """

    family: ClassVar[str] = "adafocus_v3"
    """Its name in `models.families`."""
    num_classes: int
    num_frames: int
    """T: frames of a clip; the cubes are cut out of these."""
    frame_size: tuple[int, int]
    glance_indices: tuple[int, ...]
    """Which of the T frames the glance sees, rising."""
    glance_size: tuple[int, int]
    """`frame_size` in the paper; smaller: frames are shrunk bilinearly inside the glance encoder, by at most two at a
    time, so that no pixel is skipped."""
    glance: BackboneConfig
    focus: BackboneConfig
    cube_size: tuple[int, int, int]
    max_cubes: int
    """K cubes that show frames. A clip has `num_steps` + 1 exits, those of the glance among them."""
    temporal_shift: bool = False
    """TSM in both encoders, within the glance frames and within each cube."""
    aggregation: Aggregation = "max_pool"
    """`max_pool`: running maximum and a head per step; `average`: frame logits, averaged over all cubes so far;
    `joint_statistics`: a head per step that sees glance and cubes side by side, and how their features change;
    `pooled_roots`: the same over all frames that cubes have shown so far, for cubes that no policy places."""
    focus_input: FocusInput = "frames"
    """`differences`: a cube of n frames shows n - 1 differences of neighbours (RGB difference; TSN, Wang et al.,
    ECCV 2016): the glance sees how things look, cubes how they move."""
    glance_features: bool = True
    """Predictions after cubes rest on the glance, too; false: on the cubes alone (an ablation of Table 5)."""
    classifier_hidden: int = 4096
    """Width of the MLPs before the running maxima; the other forms have none and ignore it."""
    policy: PolicyHead = "fully_connected"
    """`fully_connected`: the paper's; `heat_map`: judges every cell of the glance's map alike (`heat_map`)."""
    placement: Placement = "learned"
    """What places the cubes: the paper's `policy`, or a rule (`models.adafocus.placement`). `person`: they follow the
    person that the glance's key points show, frame by frame, larger or smaller; the others are as large as
    `cube_size`: anywhere, in the middle, or where pixels change."""
    step_frames: tuple[tuple[int, ...], ...] = ()
    """Unless placement is learned, the frames that each cube shows, rising: some of the glance's, each in one cube at
    most, so that these never overlap; a cube of motion may lie over them."""
    middle_features: bool = False
    """Both networks also give the mean over the map of MobileNetV2's layer 13: finer, and less of one task. Not with
    learned placement, which reads the last map alone."""
    key_points: bool = False
    """Both networks also give the key points of one person a frame (`pose`): of the glance's frames for placement
    `person`, of cubes for the heads. Not with learned placement."""
    local_features: bool = False
    """Both networks also give what their maps hold at each key point (`pose`): how elbow, wrist and knee look where
    they are, frame by frame. With `key_points` alone."""
    body_directions: bool = False
    """Heads of cubes are also given in which directions points of the body lie from each other, over all frames seen:
    how limbs are held, however long they look. With `key_points` alone."""
    motion_frames: tuple[int, ...] = ()
    """Pairs of the glance's frames, one behind the other. Where there are some, the first cube is one of motion, and
    the K others follow it: it shows how pixels change from the first to the second frame of each pair, in one window,
    where most changes (`models.adafocus.motion`), to a network of its own. Not with learned placement."""
    motion: BackboneConfig = field(default_factory=lambda: BackboneConfig("mobilenet_v2"))
    """That network."""
    motion_window: tuple[int, int] = (128, 128)
    """Its windows in the clip's frames."""
    motion_size: tuple[int, int] = (128, 128)
    """What windows are shrunk to, inside the network's part."""
    first_glance_indices: tuple[int, ...] = ()
    """Some of the glance's frames, rising, two at least. Where there are some, the glance comes in two parts, with an
    exit after each: the first step sees these frames alone, the second the rest. Not with learned placement."""
    recycled_share: float = 0.0
    """After the first step an exit's logits are (1 - share) times its own head's, and share times what the exit before
    it answered, before temperatures (`models.adafocus.recycling`). In [0, 1); 0: its own head's alone. Not with learned
    placement."""
    policy_conv: int = 64
    policy_hidden: tuple[int, ...] = (1024, 512)
    dropout: float = 0.2
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Of pixel values in [0, 1], in the order of `channel_order`, as `std`."""
    std: tuple[float, float, float] = IMAGENET_STD
    channel_order: ChannelOrder = "rgb"
    """What the networks were trained on. Clips are always RGB; bgr is swapped inside the encoders."""

    def __post_init__(self) -> None:
        if self.focus_input not in get_args(FocusInput):
            raise ValueError(f"focus_input is {self.focus_input!r}, but must be one of {get_args(FocusInput)}")
        if self.policy not in get_args(PolicyHead):
            raise ValueError(f"policy is {self.policy!r}, but must be one of {get_args(PolicyHead)}")
        if self.placement not in get_args(Placement):
            raise ValueError(f"placement is {self.placement!r}, but must be one of {get_args(Placement)}")
        _check_positive(self)
        _check_glance(self)
        _check_cubes(self)
        _check_placement(self)
        if self.aggregation not in get_args(Aggregation):
            raise ValueError(f"aggregation is {self.aggregation!r}, but must be one of {get_args(Aggregation)}")
        if self.channel_order not in get_args(ChannelOrder):
            raise ValueError(f"channel_order is {self.channel_order!r}, but must be one of {get_args(ChannelOrder)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, but must lie in [0, 1); 0 switches it off")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean} and std {self.std} must be three numbers each, std above 0")

    @property
    def num_glance_frames(self) -> int:
        return len(self.glance_indices)

    @property
    def glance_parts(self) -> tuple[tuple[int, ...], ...]:
        """Which of the T frames the glance sees at its first step, and at its second one, if it comes in two parts."""
        first = self.first_glance_indices
        rest = tuple(index for index in self.glance_indices if index not in first)
        return (first, rest) if first else (rest,)

    @property
    def step_indices(self) -> tuple[tuple[int, ...], ...]:
        """Of the glance and of each cube the frames that it may look at: a policy may place cubes on any."""
        anywhere = tuple(range(self.num_frames))
        cubes = (anywhere,) * self.max_cubes if self.placement == "learned" else self.step_frames
        motion = (self.motion_frames,) if self.motion_frames else ()
        return (*self.glance_parts, *motion, *cubes)

    @property
    def num_steps(self) -> int:
        """After the first one: the glance's second part and the cube of motion, if there are such, and K others."""
        return len(self.glance_parts) - 1 + self.num_cubes

    @property
    def num_cubes(self) -> int:
        """The one of motion, if there is one, and K others."""
        return self.max_cubes + bool(self.motion_frames)

    @property
    def num_pairs(self) -> int:
        """Of frames whose change is seen."""
        return len(self.motion_frames) // 2

    @property
    def local_widths(self) -> tuple[int, ...]:
        """Channels of each map that is read at key points, the finest first; none without `local_features`."""
        return (PYRAMID_CHANNELS, map_widths(self.focus.width_mult)[LOCAL_LAYER]) if self.local_features else ()

    def num_focus_images(self, num_frames: int) -> int:
        """What the focus network sees of so many neighbouring frames."""
        return num_frames if self.focus_input == "frames" else num_frames - 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `from_dict(json.loads(json.dumps(config.to_dict()))) == config`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "AdaFocusConfig":
        """Strict: ValueError for a missing, unknown or ill-typed entry."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown entries {unknown}; an AdaFocusConfig has {sorted(known)}")
        try:
            converted: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
            }
            if "step_frames" in values:
                converted["step_frames"] = tuple(tuple(frames) for frames in values["step_frames"])
            for encoder in ("glance", "focus", "motion"):
                if encoder != "motion" or encoder in values:  # bundles made before know no motion
                    converted[encoder] = BackboneConfig(**values[encoder])
            return cls(**converted)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an AdaFocusConfig: {error}") from error


def _check_positive(config: AdaFocusConfig) -> None:
    if type(config.num_classes) is not int or config.num_classes < 2:
        raise ValueError(f"num_classes is {config.num_classes!r}, but a choice needs at least 2")
    if len(config.frame_size) != 2 or len(config.glance_size) != 2 or len(config.cube_size) != 3:
        raise ValueError(
            f"frame_size {config.frame_size} and glance_size {config.glance_size} must be (rows, columns), "
            f"cube_size {config.cube_size} (frames, rows, columns)"
        )
    for name, sizes in (
        ("num_frames", (config.num_frames,)),
        ("frame_size", config.frame_size),
        ("glance_size", config.glance_size),
        ("cube_size", config.cube_size),
        ("max_cubes", (config.max_cubes,)),
        ("classifier_hidden", (config.classifier_hidden,)),
        ("policy_conv", (config.policy_conv,)),
        ("policy_hidden", config.policy_hidden),
    ):
        if any(type(size) is not int or size < 1 for size in sizes):
            raise ValueError(f"{name} is {getattr(config, name)!r}, but must be whole and at least 1")


def _check_glance(config: AdaFocusConfig) -> None:
    indices, last = config.glance_indices, config.num_frames - 1
    if any(type(index) is not int for index in indices):
        raise ValueError(f"glance_indices are {indices}, but frames are counted in whole numbers")
    if not indices or list(indices) != sorted(set(indices)) or not 0 <= indices[0] <= indices[-1] <= last:
        raise ValueError(f"glance_indices are {indices}, but must rise within 0..{last} and name at least one frame")
    for glance, frame in zip(config.glance_size, config.frame_size, strict=True):
        if glance > frame:
            raise ValueError(
                f"glance_size {config.glance_size} must be at most frame_size {config.frame_size}: enlarged frames "
                f"show no more; choose a larger frame_size"
            )
    config.glance.check_size(config.glance_size)


def _check_cubes(config: AdaFocusConfig) -> None:
    clip_size = (config.num_frames, *config.frame_size)
    if any(cube > clip for cube, clip in zip(config.cube_size, clip_size, strict=True)):
        raise ValueError(f"cube_size {config.cube_size} must fit the clip's {clip_size} (frames, rows, columns)")
    if config.cube_size[0] == 1 and config.max_cubes > config.num_frames:
        raise ValueError(
            f"max_cubes is {config.max_cubes}, but single-frame cubes never use one of the {config.num_frames} "
            f"frames twice; take at most that many"
        )
    config.focus.check_size(config.cube_size[1:])
    for name in ("temporal_shift", "glance_features", *_OF_PLACED):
        if type(getattr(config, name)) is not bool:
            raise ValueError(f"{name} is {getattr(config, name)!r}, but must be true or false")
    images = config.num_focus_images(config.cube_size[0])
    if images < 1:
        raise ValueError("focus_input 'differences' needs cubes of at least 2 frames: a lone one differs from nothing")
    if config.aggregation == "joint_statistics" and min(images, config.num_glance_frames) == 1:
        raise ValueError(
            f"aggregation 'joint_statistics' needs at least 2 images in glance and cubes (one does not change), but "
            f"the glance has {config.num_glance_frames} and a cube {images}; a cube of n frames has n - 1 differences"
        )
    if config.temporal_shift and images == 1:
        raise ValueError("temporal_shift needs cubes of at least 2 images: a lone one has no neighbour to shift from")


def _check_placement(config: AdaFocusConfig) -> None:
    ruled = config.placement != "learned"
    if ruled != (config.aggregation == "pooled_roots"):
        raise ValueError(
            f"placement {config.placement!r} does not go with aggregation {config.aggregation!r}: 'pooled_roots' is "
            "for cubes that no policy places, and for no others"
        )
    _check_recycling(config)
    if not ruled:
        for name in ("step_frames", "motion_frames", "first_glance_indices", "recycled_share", *_OF_PLACED):
            if getattr(config, name):
                raise ValueError(
                    f"{name} is {getattr(config, name)!r}, but belongs to another placement than 'learned'"
                )
        return
    if config.temporal_shift or config.focus_input != "frames":
        raise ValueError(
            f"placement {config.placement!r} shows frames by themselves: no temporal_shift, no differences"
        )
    if config.placement == "person" and not config.key_points:
        raise ValueError("placement 'person' needs key_points: they say where the person is")
    _check_first_glance(config)
    _check_motion(config)
    _check_step_frames(config)
    if config.num_glance_frames < 2:
        raise ValueError(f"glance_indices are {config.glance_indices}, but 'pooled_roots' needs two frames that change")
    if (config.middle_features or config.key_points) and {config.glance.name, config.focus.name} != {"mobilenet_v2"}:
        raise ValueError("middle_features and key_points need mobilenet_v2 in glance and focus: they are of its layers")
    sizes = (config.glance_size, config.cube_size[1:])
    if config.key_points and any(side % STRIDE for size in sizes for side in size):
        raise ValueError(
            f"key_points need sides that are multiples of {STRIDE}, but glance_size is {config.glance_size} and "
            f"cube_size {config.cube_size}"
        )
    if config.local_features and (not config.key_points or config.glance.width_mult != config.focus.width_mult):
        raise ValueError(
            f"local_features are read at key points, of maps as wide in the glance as in cubes, but key_points is "
            f"{config.key_points} and the widths are {config.glance.width_mult:g} and {config.focus.width_mult:g}; "
            "set key_points and take one width, or leave local_features out"
        )
    if config.body_directions and not config.key_points:
        raise ValueError("body_directions are those of key points: set key_points, or leave body_directions out")
    if config.placement == "person" and min(config.frame_size) > 2 * min(config.cube_size[1:]):
        raise ValueError(
            f"placement 'person' may look at all of a frame's {min(config.frame_size)} rows or columns, which would be "
            f"shrunk to less than half of that by cube_size {config.cube_size}, and pixels skipped; take larger cubes"
        )


def _check_recycling(config: AdaFocusConfig) -> None:
    if type(config.recycled_share) not in (int, float) or not 0 <= config.recycled_share < 1:
        raise ValueError(
            f"recycled_share is {config.recycled_share!r}, but must lie in [0, 1): 0 asks each exit's own head alone"
        )


def _check_first_glance(config: AdaFocusConfig) -> None:
    frames, glance = config.first_glance_indices, config.glance_indices
    if any(type(frame) is not int for frame in frames):
        raise ValueError(f"first_glance_indices are {frames}, but frames are counted in whole numbers")
    if frames and (len(frames) < 2 or list(frames) != sorted(set(frames)) or not set(frames) < set(glance)):
        raise ValueError(
            f"first_glance_indices are {frames}, but must rise and be some of the glance's {glance}, two at least, "
            "which can differ, and not all; or be left out"
        )


def _check_motion(config: AdaFocusConfig) -> None:
    frames = config.motion_frames
    if not frames:
        return
    if any(type(frame) is not int for frame in frames):
        raise ValueError(f"motion_frames are {frames}, but frames are counted in whole numbers")
    if len(frames) < 4 or len(frames) % 2 or list(frames) != sorted(set(frames)):
        raise ValueError(
            f"motion_frames are {frames}, but must rise and be pairs, two at least, which can differ; or be left out"
        )
    if unknown := sorted(set(frames) - set(config.glance_indices)):
        raise ValueError(f"motion_frames name {unknown}, which are none of the glance's {config.glance_indices}")
    if config.motion.name != "mobilenet_v2":
        raise ValueError(f"motion is a {config.motion.name}, but two of MobileNetV2's maps are read; take mobilenet_v2")
    sides = (*config.motion_window, *config.motion_size)
    if len(config.motion_window) != 2 or len(config.motion_size) != 2 or any(type(side) is not int for side in sides):
        raise ValueError(
            f"motion_window {config.motion_window} and motion_size {config.motion_size} must be (rows, columns), in "
            "whole pixels"
        )
    if any(side < STRIDE or side % CHANGE_BLOCK_PX for side in config.motion_window):
        raise ValueError(
            f"motion_window is {config.motion_window}, but its sides must be multiples of {CHANGE_BLOCK_PX}, and "
            f"{STRIDE} or more"
        )
    for window, size, frame in zip(config.motion_window, config.motion_size, config.frame_size, strict=True):
        if not STRIDE <= size <= window <= frame:
            raise ValueError(
                f"motion_window {config.motion_window} must be at least motion_size {config.motion_size} and at most "
                f"frame_size {config.frame_size}, and motion_size at least {STRIDE}"
            )
    config.motion.check_size(config.motion_size)


def _check_step_frames(config: AdaFocusConfig) -> None:
    steps, wanted = config.step_frames, (config.max_cubes, config.cube_size[0])
    if len(steps) != wanted[0] or any(len(frames) != wanted[1] for frames in steps):
        raise ValueError(f"step_frames are {steps}, but must be {wanted[0]} (max_cubes) times {wanted[1]} (cube_size)")
    shown = [frame for frames in steps for frame in frames]
    if any(list(frames) != sorted(frames) for frames in steps) or len(set(shown)) != len(shown):
        raise ValueError(f"step_frames are {steps}, but must rise within a cube, and no frame is in two")
    if unknown := sorted(set(shown) - set(config.glance_indices)):
        raise ValueError(f"step_frames name {unknown}, which are none of the glance's frames {config.glance_indices}")
