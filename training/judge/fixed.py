"""A full-frame baseline behind the recognizer protocol: one step, a fixed price, executed by the same runtimes.

Knows no data and no training. It exists so that a baseline's answers and times are taken as those of a bundle are.

Shape suffixes: B clips, T frames, N = B * T, H rows, W columns, C classes or colour channels, D features, h, w cells.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.adafocus.encoders import FocusEncoder
from models.adafocus.network import split_rows
from models.recognizer import Cube, Frames
from models.runtime import Network, Runtime
from training.fit.baselines import FullFrame, full_frame_cost_flops
from video.clip import ClipRule


@dataclass(frozen=True, slots=True, eq=False)
class FixedState:
    probabilities_C: NDArray[np.float32]
    entropy_nats: float
    step: int = 0
    cube: Cube | None = None


class FixedRecognizer:
    """Satisfies `models.recognizer.Recognizer[FixedState]`. The network is copied: later changes are not seen."""

    def __init__(self, network: FullFrame, clip_rule: ClipRule, runtime: Runtime) -> None:
        model = network.config.model
        self._indices = list(model.glance_indices)
        self._num_images = {
            "focus": model.num_focus_images(network.num_frames),
            "glance": network.num_frames,
        }
        self._clip_spec = clip_rule
        self._costs = (full_frame_cost_flops(network.config),)
        self._pool = network.pool
        self._heads = {name: copy.deepcopy(head).float().eval() for name, head in network.classifier.items()}
        frames_NHWC = torch.zeros(network.num_frames, *model.frame_size, 3, dtype=torch.uint8)
        modules: dict[str, nn.Module] = {"focus": _Maps(network.focus, network.num_frames)}
        if network.glance is not None:
            modules["glance"] = network.glance
        # No key by weights: baselines are run once, and a runtime given no cache folder keeps nothing.
        self._networks: dict[str, Network] = {
            name: runtime.compile(module.eval(), frames_NHWC, key=f"full-frame-{name}")
            for name, module in modules.items()
        }

    @property
    def clip_rule(self) -> ClipRule:
        return self._clip_spec

    @property
    def step_flops(self) -> tuple[int, ...]:
        return self._costs

    @torch.inference_mode()
    def glance(self, clips_THWC: Sequence[Frames]) -> list[FixedState]:
        """The one answer to each clip."""
        frames_NHWC = torch.from_numpy(np.concatenate([clip_THWC[self._indices] for clip_THWC in clips_THWC]))
        logits_BC = sum(self._logits(name, frames_NHWC) for name in sorted(self._networks))
        assert isinstance(logits_BC, Tensor)
        log_BC = torch.log_softmax(logits_BC, dim=1)
        entropies = (-(log_BC.exp() * log_BC).sum(dim=1)).clamp(0, math.log(log_BC.shape[1])).tolist()
        return [
            FixedState(probabilities_C, entropy_nats)
            for probabilities_C, entropy_nats in zip(log_BC.exp().numpy(), entropies, strict=True)
        ]

    def focus(self, states: Sequence[FixedState]) -> list[FixedState]:
        """Raises ValueError: there is no further step."""
        raise ValueError(f"a model of fixed cost takes no further step, asked for {len(states)}")

    def _logits(self, name: str, frames_NHWC: Tensor) -> Tensor:
        features_BTD = split_rows(self._networks[name](frames_NHWC).mean(dim=(2, 3)).cpu(), self._num_images[name])
        logits_BC: Tensor = self._heads[name](self._pool(features_BTD))
        return logits_BC


class _Maps(nn.Module):
    """The focus encoder's maps of whole frames."""

    def __init__(self, focus: FocusEncoder, num_frames: int) -> None:
        super().__init__()
        self.focus = focus
        self.num_frames = num_frames

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        maps_NChw: Tensor = self.focus.maps(frames_NHWC, self.num_frames)
        return maps_NChw
