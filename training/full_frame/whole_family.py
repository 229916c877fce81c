"""The full-frame baseline of a model whose cubes a rule places, as a family that training alone knows.

Knows no trainer.

Shape suffixes: B clips, T frames, N = B * T, H rows, W columns, C channels or classes, D features, V numbers of a
described frame, M those of all frames.
"""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.adafocus.pose import load_movenet
from models.answers import cache_key
from models.checkpoints import load_backbone, part_of
from models.family import Family, Head
from models.recognizer import Frames
from models.runtime import Runtime
from models.single_pass import Logits, SinglePassRecognizer
from training.adafocus.plans import describe_stage
from training.family import FamilyTraining, Regression
from training.fit.losses import Losses
from training.fit.recipe import Crops, Recipe
from training.full_frame.config import no_baseline
from training.full_frame.family import exits
from training.full_frame.whole import TITLE, WholeFrames, WholeFramesConfig, build_network, no_glance, step_flops
from video.clip import ClipRule


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
        return classifier.step_features(no_glance(memory_BM), memory_BM, at)[:, None]

    return [Regression((weight_CD,), (bias_C,), rows, classifier.step_blocks, classifier.step_local)]


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
    exits=exits,
    in_bf16=_in_bf16,
    memory_format=torch.channels_last,
    regressions=_regressions,
    features=_features,
    baseline=no_baseline,
    describe_stage=describe_stage,
    backbones=("focus.", "pose."),
    repeatable=lambda network: True,
    looked_at=lambda config: config.model.glance_indices,
)
