"""AdaFocusV3 whose cubes a rule places: two encoders of frames by themselves, key points, one of motion where a step
looks at that, and heads on all of them.

Knows no early exit, loss or optimiser; adaptive inference is `recognizer`'s. Where the policy is learned: `network`.

Shape suffixes: B clips, T frames (of the clip, the glance or a cube), N = B * T, H rows, W columns, K steps, E = K + 1
exits, P pairs of frames, V numbers of a described frame, D features, J key points, M what is remembered of the steps,
C classes (logits) or channels (pixels).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.adafocus.encoders import FrameEncoder, MotionEncoder
from models.adafocus.network import AdaFocusV3, Exits, build_network, check_clips, split_rows
from models.adafocus.placement import cut_windows, key_points, place_by_rule
from models.adafocus.pose import KeyPoints, PoseHeads
from models.adafocus.recycling import answered
from models.adafocus.tube_classifier import TubeClassifier
from models.seeded import seeded


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is kept of a batch of clips, step by step."""

    glances: tuple[Tensor, ...]
    """glance_BG after each part of the glance; the last is of all of it."""
    memories: tuple[Tensor, ...]
    """memory_BM after each cube."""


class PlacedAdaFocus(nn.Module):
    """Raises ValueError for a configuration whose cubes are learned, and where glance and focus differ in features."""

    def __init__(self, config: AdaFocusConfig) -> None:
        super().__init__()
        if config.placement == "learned":
            raise ValueError("placement 'learned' has a policy: that is AdaFocusV3's network")
        self.config = config
        size = config.cube_size[1:]
        self.glance = FrameEncoder(config, config.glance, config.frame_size, config.glance_size)
        self.focus = FrameEncoder(config, config.focus, size, size)
        if self.glance.num_features != self.focus.num_features:
            raise ValueError(f"glance and focus differ: {config.glance} and {config.focus} must be the same network")
        self.pose: PoseHeads | None = None
        if config.key_points:
            self.pose = PoseHeads(self.glance.backbone.channels)  # type: ignore[arg-type]
        self.motion = MotionEncoder(config) if config.motion_frames else None
        self.glance_points, self.focus_points = KeyPoints(config.glance_size), KeyPoints(size)
        self.classifier = TubeClassifier(config, self.glance.num_features, self.glance.middle)

    def forward(self, clips_BTHWC: Tensor) -> Exits:
        """Every exit of every clip (uint8), as the recognizer answers. Gradients reach the encoders and the heads; key
        points carry none."""
        seen = self.remember(clips_BTHWC)
        own = [self.classifier.first_logits(first_BG) for first_BG in seen.glances[:-1]]
        glance_BG = seen.glances[-1]
        own.append(self.classifier.glance_logits(glance_BG))
        for step, memory_BM in enumerate(seen.memories, 1):
            own.append(self.classifier.logits_at(glance_BG, memory_BM, torch.tensor([step], device=memory_BM.device)))
        nothing = glance_BG.new_empty(len(clips_BTHWC), 0, self.config.num_classes)
        logits_BEC = torch.stack(list(answered(own, self.config.recycled_share)), dim=1)
        return Exits(logits_BEC, nothing, nothing[:, None], glance_BG.new_empty(len(clips_BTHWC), 0, 3))

    def remember(self, clips_BTHWC: Tensor) -> Remembered:
        """Raises ValueError for clips of another shape."""
        config = self.config
        check_clips(clips_BTHWC, config)
        frames_NHWC = clips_BTHWC[:, list(config.glance_indices)].flatten(0, 1)
        described_BTV = split_rows(
            self.describe(frames_NHWC, self.glance, self.glance_points), config.num_glance_frames
        )
        glances = [self.classifier.remember_glance(described_BTV)]
        if config.first_glance_indices:
            places = [config.glance_indices.index(frame) for frame in config.first_glance_indices]
            glances.insert(0, self.classifier.remember_glance(described_BTV[:, places]))
        clips, points_BTJ3 = clips_BTHWC.cpu().numpy(), key_points(described_BTV.detach().cpu().numpy(), config)
        cubes_BK = [place_by_rule(config, *pair) for pair in zip(clips, points_BTJ3, strict=True)]
        memory_BM = self.classifier.no_memory(glances[-1])
        memories = []
        for step in range(config.num_cubes):
            sees_motion = self.motion is not None and step == 0
            size = config.motion_window if sees_motion else config.cube_size[1:]
            crops_NHWC = torch.from_numpy(
                np.concatenate(
                    [
                        cut_windows(clip_THWC, cubes_K[step], size)
                        for clip_THWC, cubes_K in zip(clips, cubes_BK, strict=True)
                    ]
                )
            ).to(clips_BTHWC.device)
            if self.motion is not None and sees_motion:
                seen_BPD = split_rows(self.motion(crops_NHWC), config.num_pairs)
                memory_BM = self.classifier.merge_motion(memory_BM, seen_BPD)
            else:
                described_NV = self.describe(crops_NHWC, self.focus, self.focus_points)
                memory_BM = self.classifier.merge(memory_BM, split_rows(described_NV, config.cube_size[0]))
            memories.append(memory_BM)
        return Remembered(tuple(glances), tuple(memories))

    def describe(self, frames_NHWC: Tensor, encoder: FrameEncoder, points: KeyPoints) -> Tensor:
        """described_NV."""
        if self.pose is None:
            features_ND: Tensor = encoder(frames_NHWC)
            return features_ND
        described_NV: Tensor = points(*encoder.look_with(self.pose, frames_NHWC))
        return described_NV


def build_any(config: AdaFocusConfig, seed: int) -> AdaFocusV3 | PlacedAdaFocus:
    """As `models.adafocus.network.build_network`, whatever places the cubes."""
    if config.placement == "learned":
        return build_network(config, seed)
    return seeded(lambda: PlacedAdaFocus(config), seed)
