"""The full-frame baseline of a model whose cubes a rule places: the same network and heads on every whole frame.

All frames of a clip, at their own size (brought down to what the backbone divides), one answer. Knows no cube and no
glance; it comes with key points, as the model's cubes do, or without. A family that training alone knows.

Shape suffixes: B clips, T frames, N = B * T, H rows, W columns, C channels or classes, V numbers of a described frame,
M those of all frames.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.adafocus.encoders import FrameEncoder
from models.adafocus.network import Exits, check_clips
from models.adafocus.pose import KeyPoints, PoseHeads
from models.adafocus.tube_classifier import TubeClassifier
from models.flops import count_call_flops
from models.seeded import seeded
from training.full_frame.config import BaselineConfig

TITLE = "full-frame baseline of placed cubes"
NAMES = {"whole-frames": True, "whole-frames-alone": False}
"""By name, whether the heads are given key points."""
_CELL_PX = 32  # the backbone's stride


@dataclass(frozen=True, slots=True)
class WholeFramesConfig(BaselineConfig):
    """The baseline of one model whose cubes a rule places: all frames of its clips, its focus network and heads."""

    family: ClassVar[str] = "whole_frames"
    title: ClassVar[str] = TITLE
    key_points: bool

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
            motion_frames=(),
            first_glance_indices=(),
            recycled_share=0.0,
            placement="centre",
            glance_features=False,
            key_points=self.key_points,
            local_features=self.key_points and model.local_features,
            body_directions=self.key_points and model.body_directions,
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
        return self.classifier.logits_at(no_glance(memory_BM), memory_BM, torch.tensor([1], device=memory_BM.device))


def no_glance(memory_BM: Tensor) -> Tensor:
    return memory_BM[:, :0]


def build_network(config: WholeFramesConfig, seed: int) -> WholeFrames:
    """As `seeded` says; the weights follow from (config, seed)."""
    return seeded(lambda: WholeFrames(config), seed)


def step_flops(config: WholeFramesConfig) -> tuple[int]:
    """Multiply-adds a clip, in the one step that there is."""
    with torch.device("meta"):
        network = WholeFrames(config).eval()
        frames_NHWC = torch.empty(config.num_frames, *config.frame_size, 3, dtype=torch.uint8)
        memory_BM = torch.empty(1, network.classifier.memory_size)
        return (count_call_flops(network.describe, frames_NHWC) + count_call_flops(network.logits, memory_BM),)
