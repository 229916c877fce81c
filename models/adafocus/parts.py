"""AdaFocusV3 taken apart: what a runtime executes, the layers that give logits, where checkpoints go.

Knows no runtime and no order of steps: that is `recognizer`'s.

Shape suffixes: B clips, T frames, N = B * T, H rows, W columns, C channels or classes, h and w cells, D features,
G / M what is remembered of the glance / of the cubes.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor, nn

from models.adafocus.classifier import AverageClassifier, Classifier
from models.adafocus.encoders import FrameEncoder
from models.adafocus.network import AdaFocusV3
from models.adafocus.placed import PlacedAdaFocus
from models.adafocus.pose import PoseHeads, load_movenet
from models.adafocus.recognizer import AdaFocusRecognizer
from models.adafocus.tube_classifier import TubeClassifier
from models.answers import check_rule
from models.backbones.config import num_cells
from models.checkpoints import load_backbone, part_of
from models.executing import execute
from models.family import Head
from models.runtime.base import Runtime
from models.runtime.parts import Part
from video.clip import ClipRule


class First(nn.Module):
    """maps_BTChw to (glance_BG, memory_BM of no cube, logits_BC of p_0)."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, maps_BTChw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        glance_BG = self.classifier.remember_glance(maps_BTChw.mean(dim=(3, 4)))
        memory_BM = torch.zeros_like(glance_BG[:, :1]).repeat(1, self.classifier.memory_size)
        return glance_BG, memory_BM, self.classifier.glance_logits(glance_BG)


class GlanceOfTubes(nn.Module):
    """described_BTV to the same, where cubes are placed by rule: of all of the glance, or of its first part."""

    def __init__(self, classifier: TubeClassifier, *, part: bool) -> None:
        super().__init__()
        self.classifier, self.part = classifier, part

    def forward(self, described_BTV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        glance_BG = self.classifier.remember_glance(described_BTV)
        logits_BC = self.classifier.first_logits(glance_BG) if self.part else self.classifier.glance_logits(glance_BG)
        return glance_BG, self.classifier.no_memory(glance_BG), logits_BC


class RememberTubes(nn.Module):
    """(memory_BM, described_BTV of one cube more) to memory_BM."""

    def __init__(self, classifier: TubeClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, memory_BM: Tensor, described_BTV: Tensor) -> Tensor:
        return self.classifier.merge(memory_BM, described_BTV)


class RememberMotion(nn.Module):
    """(memory_BM, seen_BPD of the pairs of frames) to memory_BM."""

    def __init__(self, classifier: TubeClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, memory_BM: Tensor, seen_BPD: Tensor) -> Tensor:
        return self.classifier.merge_motion(memory_BM, seen_BPD)


class FeaturesAndPose(nn.Module):
    """uint8 frames_NHWC to (features_ND, pose_NChw, maps to be read): key points are decoded by a part of its own, in
    fp32."""

    def __init__(self, encoder: FrameEncoder, pose: PoseHeads) -> None:
        super().__init__()
        self.encoder = encoder
        self.pose = pose

    def forward(self, frames_NHWC: Tensor) -> tuple[Tensor, ...]:
        return self.encoder.look_with(self.pose, frames_NHWC)


class Remember(nn.Module):
    """(memory_BM, features_BTD of one cube more) to memory_BM."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, memory_BM: Tensor, features_BTD: Tensor) -> Tensor:
        return self.classifier.merge(memory_BM, self.classifier.embed_cubes(features_BTD))


class Further(nn.Module):
    """(glance_BG, memory_BM, step of shape (1,)) to logits_BC after so many cubes, the same number in every row."""

    def __init__(self, classifier: Classifier | TubeClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, glance_BG: Tensor, memory_BM: Tensor, step: Tensor) -> Tensor:
        return self.classifier.logits_at(glance_BG, memory_BM, step)


def parts(network: AdaFocusV3 | PlacedAdaFocus) -> Mapping[str, Part]:
    """`glance`, `focus` and `motion` are heavy; `policy` and what the classifier does are not, nor what decodes key
    points."""
    if isinstance(network, PlacedAdaFocus):
        return _placed_parts(network)
    config, classifier = network.config, network.classifier
    num_glance, (num_frames, height_px, width_px) = config.num_glance_frames, config.cube_size
    frames_NHWC = torch.zeros(num_glance, *config.frame_size, 3, dtype=torch.uint8)
    crops_NHWC = torch.zeros(num_frames, height_px, width_px, 3, dtype=torch.uint8)
    maps_BTChw = torch.zeros(1, num_glance, network.glance.num_features, *map(num_cells, config.glance_size))
    cube_BTD = torch.zeros(1, config.num_focus_images(num_frames), network.focus.num_features)
    memory_BM = torch.zeros(1, classifier.memory_size)
    with torch.inference_mode():
        glance_BG = torch.zeros_like(First(classifier)(maps_BTChw)[0])
    step = torch.ones(1, dtype=torch.int64)
    return {
        "glance": Part(network.glance, (frames_NHWC,), heavy=True),
        "first": Part(First(classifier), (maps_BTChw,)),
        "policy": Part(network.policy, (maps_BTChw,)),
        "focus": Part(network.focus, (crops_NHWC,), heavy=True),
        "remember": Part(Remember(classifier), (memory_BM, cube_BTD)),
        "further": Part(Further(classifier), (glance_BG, memory_BM, step), num_shared=1),
    }


def _placed_parts(network: PlacedAdaFocus) -> Mapping[str, Part]:
    config, classifier = network.config, network.classifier
    looks: dict[str, Part] = {}
    for name, encoder, points, num_frames, size in (
        ("glance", network.glance, network.glance_points, config.num_glance_frames, config.frame_size),
        ("focus", network.focus, network.focus_points, config.cube_size[0], config.cube_size[1:]),
    ):
        frames_NHWC = torch.zeros(num_frames, *size, 3, dtype=torch.uint8)
        if network.pose is None:
            looks[name] = Part(encoder, (frames_NHWC,), heavy=True)
            continue
        look = FeaturesAndPose(encoder, network.pose)
        looks[name] = Part(look, (frames_NHWC,), heavy=True)
        with torch.inference_mode():
            seen = tuple(torch.zeros_like(one) for one in look(frames_NHWC))
        looks[f"{name}_points"] = Part(points, seen)
    if network.motion is not None:
        pairs_NHWC = torch.zeros(2 * config.num_pairs, *config.motion_window, 3, dtype=torch.uint8)
        looks["motion"] = Part(network.motion, (pairs_NHWC,), heavy=True)
        seen_BPD = torch.zeros(1, config.num_pairs, sum(classifier.motion_blocks) // 3)
        looks["remember_motion"] = Part(RememberMotion(classifier), (torch.zeros(1, classifier.memory_size), seen_BPD))
    for name, num_frames in zip(("first", "second"), accumulate(map(len, config.glance_parts)), strict=False):
        glance = GlanceOfTubes(classifier, part=num_frames < config.num_glance_frames)
        looks[name] = Part(glance, (torch.zeros(1, num_frames, classifier.described),))
    memory_BM, cube_BTV = (
        torch.zeros(1, classifier.memory_size),
        torch.zeros(1, config.cube_size[0], classifier.described),
    )
    glance_BG = torch.zeros(1, sum(classifier.glance_blocks))
    return looks | {
        "remember": Part(RememberTubes(classifier), (memory_BM, cube_BTV)),
        "further": Part(Further(classifier), (glance_BG, memory_BM, torch.ones(1, dtype=torch.int64)), num_shared=1),
    }


def make_recognizer(
    network: AdaFocusV3 | PlacedAdaFocus, clip_rule: ClipRule, temperatures: Sequence[float], runtime: Runtime
) -> AdaFocusRecognizer:
    """The network is copied: later changes are not seen.

    Raises ValueError when the clip rule or the temperatures do not fit the network.
    """
    config = network.config
    check_rule(clip_rule, (config.num_frames, *config.frame_size), temperatures, config.num_steps + 1)
    return AdaFocusRecognizer(config, clip_rule, temperatures, execute(parts(network), config, runtime))


def heads(network: AdaFocusV3 | PlacedAdaFocus) -> Sequence[Head]:
    """Every layer that gives an exit's logits, in their order."""
    classifier = network.classifier
    glance = classifier.glance_head
    first = [Head(glance, glance.weight, glance.bias)]
    if isinstance(classifier, AverageClassifier):
        focus = classifier.focus_head
        return (*first, Head(focus, focus.weight, focus.bias))
    steps = classifier.step_heads
    further = [Head(steps, *one) for one in zip(steps.weight_KCD, steps.bias_KC, strict=True)]
    if isinstance(classifier, TubeClassifier):
        if (motion := classifier.motion_head) is not None:
            further.insert(0, Head(motion, motion.weight, motion.bias))
        if (part := classifier.first_head) is not None:
            first.insert(0, Head(part, part.weight, part.bias))
    return (*first, *further)


def load_pose(network: AdaFocusV3 | PlacedAdaFocus, tensors: Mapping[str, Tensor]) -> None:
    """MoveNet's pyramid and heads. ValueError for a network without key points, and for other tensors."""
    if not isinstance(network, PlacedAdaFocus) or network.pose is None:
        raise ValueError("pose weights are for a model with key_points, and this one has none; leave them out")
    load_movenet(network.pose, tensors)


def load_part(
    part: Literal["glance", "focus", "motion"], network: AdaFocusV3 | PlacedAdaFocus, tensors: Mapping[str, Tensor]
) -> None:
    """Another project's checkpoint of the part's backbone without its head, or of both networks: see `checkpoints`.

    ValueError for a network without that part.
    """
    if getattr(network, part, None) is None:
        raise ValueError(f"{part} weights are for a model with motion_frames, and this one has none; leave them out")
    load_backbone(getattr(network, part).backbone, part_of(part, tensors), drop_head=True)
