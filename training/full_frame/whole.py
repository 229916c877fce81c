"""The full-frame baseline of a model whose cubes a rule places: the same network and heads on every whole frame.

All frames of a clip, at their own size (brought down to what the backbone divides), one answer. Knows no cube and no
glance; it comes with key points, as the model's cubes do, or without. A family that training alone knows.

Shape suffixes: B clips, T frames, N = B * T, H rows, W columns, C channels or classes, V numbers of a described frame,
M those of all frames.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.adafocus.encoders import FrameEncoder
from models.adafocus.network import Exits, check_clips
from models.adafocus.pose import KeyPoints, PoseHeads, load_movenet
from models.adafocus.tube_classifier import TubeClassifier
from models.answers import cache_key
from models.checkpoints import load_backbone, part_of
from models.family import Family, Head
from models.flops import count_call_flops
from models.recognizer import Frames
from models.runtime import Runtime
from models.single_pass import Logits, SinglePassRecognizer
from training.adafocus.plans import describe_stage
from training.family import FamilyTraining, Regression
from training.fit.losses import Losses
from training.fit.recipe import Crops, Recipe
from video.clip import ClipRule

TITLE = "full-frame baseline of placed cubes"
NAMES = {"whole-frames": True, "whole-frames-alone": False}
"""By name, whether the heads are given key points."""
_CELL_PX = 32  # the backbone's stride


@dataclass(frozen=True, slots=True)
class WholeFramesConfig:
    """The baseline of one model whose cubes a rule places: all frames of its clips, its focus network and heads."""

    family: ClassVar[str] = "whole_frames"
    model: AdaFocusConfig
    key_points: bool

    @property
    def num_classes(self) -> int:
        return self.model.num_classes

    @property
    def num_frames(self) -> int:
        return self.model.num_frames

    @property
    def frame_size(self) -> tuple[int, int]:
        return self.model.frame_size

    @property
    def one_cube(self) -> AdaFocusConfig:
        """What the heads are told: one cube that is the whole clip, and no glance beside it."""
        model, frames = self.model, tuple(range(self.model.num_frames))
        height, width = (side // _CELL_PX * _CELL_PX for side in model.frame_size)
        return replace(
            model,
            glance_indices=frames,
            cube_size=(len(frames), height, width),
            max_cubes=1,
            step_frames=(frames,),
            placement="centre",
            glance_features=False,
            key_points=self.key_points,
            local_features=self.key_points and model.local_features,
        )

    @classmethod
    def named(cls, model: AdaFocusConfig, name: str) -> "WholeFramesConfig":
        """The baseline `name` of `model`; ValueError for a name that is none."""
        if name not in NAMES:
            raise ValueError(
                f"baseline is {name!r}, but this model's cubes are placed by rule ({model.placement!r}), and its "
                f"baselines are {' and '.join(NAMES)}; tsn, tsm, tsn+ and tsm+ are of models with learned cubes, such "
                "as the plan compact-16-frames"
            )
        return cls(model, NAMES[name])

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "WholeFramesConfig":
        """Strict: ValueError for a missing, unknown or ill-typed entry."""
        try:
            config = cls(**{**values, "model": AdaFocusConfig.from_dict(values["model"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a WholeFramesConfig: {error}") from error
        if type(config.key_points) is not bool:
            raise ValueError(f"key_points is {config.key_points!r}, but must be true or false")
        return config


class WholeFrames(nn.Module):
    def __init__(self, config: WholeFramesConfig) -> None:
        super().__init__()
        seen = config.one_cube
        size = seen.cube_size[1:]
        self.config = config
        self.focus = FrameEncoder(seen, seen.focus, seen.frame_size, size)
        self.pose: PoseHeads | None = None
        if config.key_points:
            self.pose = PoseHeads(self.focus.backbone.channels)  # type: ignore[arg-type]
        self.points = KeyPoints(size)
        self.classifier = TubeClassifier(seen, self.focus.num_features, self.focus.middle)

    def forward(self, clips_BTHWC: Tensor) -> Exits:
        """`logits_BEC` with E = 1."""
        logits_BC = self.logits(self.remember(clips_BTHWC))
        nothing = logits_BC.new_empty(len(logits_BC), 0, self.config.num_classes)
        return Exits(logits_BC[:, None], nothing, nothing[:, None], logits_BC.new_empty(len(logits_BC), 0, 3))

    def remember(self, clips_BTHWC: Tensor) -> Tensor:
        """memory_BM: every frame, described. Raises ValueError for clips of another shape."""
        check_clips(clips_BTHWC, self.config.model)
        return self.describe(clips_BTHWC.flatten(0, 1)).reshape(len(clips_BTHWC), -1)

    def describe(self, frames_NHWC: Tensor) -> Tensor:
        """described_NV."""
        if self.pose is None:
            features_ND: Tensor = self.focus(frames_NHWC)
            return features_ND
        described_NV: Tensor = self.points(*self.focus.look_with(self.pose, frames_NHWC))
        return described_NV

    def logits(self, memory_BM: Tensor) -> Tensor:
        return self.classifier.logits_at(_no_glance(memory_BM), memory_BM, torch.tensor([1], device=memory_BM.device))


def _no_glance(memory_BM: Tensor) -> Tensor:
    return memory_BM[:, :0]


def build_network(config: WholeFramesConfig, seed: int) -> WholeFrames:
    """On the CPU, in eval mode; the weights follow from (config, seed); torch's own random numbers stay as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return WholeFrames(config).eval()


def step_flops(config: WholeFramesConfig) -> tuple[int]:
    """Multiply-adds a clip, in the one step that there is."""
    with torch.device("meta"):
        network = WholeFrames(config).eval()
        frames_NHWC = torch.empty(config.num_frames, *config.frame_size, 3, dtype=torch.uint8)
        memory_BM = torch.empty(1, network.classifier.memory_size)
        return (count_call_flops(network.describe, frames_NHWC) + count_call_flops(network.logits, memory_BM),)


def make_recognizer(
    network: WholeFrames, clip_rule: ClipRule, temperatures: Sequence[float], runtime: Runtime
) -> SinglePassRecognizer:
    """The network is copied: later changes are not seen. ValueError when clip rule or temperature does not fit it."""
    config = network.config

    def make_logits() -> Logits:
        example_NHWC = torch.zeros(config.num_frames, *config.frame_size, 3, dtype=torch.uint8)
        described = _Described(network).eval()
        run = runtime.compile(described, example_NHWC, key=cache_key("whole-frames", described, config.to_dict()))
        heads = copy.deepcopy(network).float().eval().to(runtime.device)

        @torch.inference_mode()
        def logits(clips_THWC: Sequence[Frames]) -> Tensor:
            described_NV = run(torch.from_numpy(np.concatenate(clips_THWC))).float()
            return heads.logits(described_NV.reshape(len(clips_THWC), -1))

        return logits

    return SinglePassRecognizer(
        make_logits,
        title=TITLE,
        clip_size=(config.num_frames, *config.frame_size),
        clip_rule=clip_rule,
        temperatures=temperatures,
        step_flops=step_flops(config),
    )


class _Described(nn.Module):
    """`WholeFrames.describe` as a module."""

    def __init__(self, network: WholeFrames) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        return self.network.describe(frames_NHWC)


def _losses(
    network: WholeFrames,
    clips_BTHWC: Tensor,
    targets_BC: Tensor,
    recipe: Recipe,
    crops: Crops,
    *,
    step: int,
    generator: torch.Generator,
) -> Losses:
    raise ValueError(f"the heads of a {TITLE} are found in closed form, and nothing else of it learns: drop the stages")


def _exits(network: WholeFrames, clips_BTHWC: Tensor, crops: Crops, generator: torch.Generator) -> Tensor:
    logits_BEC: Tensor = network(clips_BTHWC).logits_BEC
    return logits_BEC


def _in_bf16(network: WholeFrames) -> Sequence[tuple[nn.Module, str]]:
    encoder = [(network.focus.backbone, "maps")]
    return encoder if network.pose is None else [*encoder, (network.pose, "look")]


def _features(
    network: WholeFrames, clips_BTHWC: Tensor, generator: torch.Generator, *, learned: bool
) -> dict[str, Tensor]:
    return {"memory": network.remember(clips_BTHWC)}


def _regressions(network: WholeFrames) -> list[Regression]:
    classifier = network.classifier
    (weight_CD,), (bias_C,) = classifier.step_heads.weight_KCD, classifier.step_heads.bias_KC

    def rows(given: Mapping[str, Tensor]) -> Tensor:
        memory_BM = given["memory"]
        at = torch.tensor([1], device=memory_BM.device)
        return classifier.step_features(_no_glance(memory_BM), memory_BM, at)[:, None]

    return [Regression((weight_CD,), (bias_C,), rows, classifier.step_blocks)]


def _load_focus(network: WholeFrames, tensors: Mapping[str, Tensor]) -> None:
    load_backbone(network.focus.backbone, part_of("focus", tensors), drop_head=True)


def _load_pose(network: WholeFrames, tensors: Mapping[str, Tensor]) -> None:
    if network.pose is None:
        raise ValueError(
            "pose weights are for the baseline whole-frames, and this one has no key points; leave them out"
        )
    load_movenet(network.pose, tensors)


def _heads(network: WholeFrames) -> list[Head]:
    steps = network.classifier.step_heads
    return [Head(steps, steps.weight_KCD[0], steps.bias_KC[0])]


def _no_baseline(model: WholeFramesConfig, name: str) -> NoReturn:
    raise ValueError(f"baseline {name!r} of a {TITLE} is asked for; ask for that of a model with cubes")


TRAINING: FamilyTraining[WholeFramesConfig, WholeFrames] = FamilyTraining(
    family=Family(
        name=WholeFramesConfig.family,
        title=TITLE,
        read_config=WholeFramesConfig.from_dict,
        build_network=build_network,
        step_flops=step_flops,
        make_recognizer=make_recognizer,
        heads=_heads,
        loaders={"focus": _load_focus, "pose": _load_pose},
    ),
    losses=_losses,
    exits=_exits,
    in_bf16=_in_bf16,
    memory_format=torch.channels_last,
    regressions=_regressions,
    features=_features,
    baseline=_no_baseline,
    describe_stage=describe_stage,
    backbones=("focus.", "pose."),
    repeatable=lambda network: True,
    looked_at=lambda config: config.model.glance_indices,
)
