"""Video Mobile-Former behind the recognizer protocol: one step, whose price never varies.

Knows the shape of the computation and its price, not what executes the encoder (a runtime) nor who asks. As everywhere
the encoder runs in the runtime's precision, the classifier in fp32.

Shape suffixes: B clips, T frames, N = B * T, H rows, W columns, C classes or colour channels, D features.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.answers import answers, cache_key, check_clip, check_rule
from models.mobile_former.costs import step_flops
from models.mobile_former.folding import fold
from models.mobile_former.network import VideoMobileFormer
from models.recognizer import Cube, Frames
from models.runtime.base import Runtime
from video.clip import ClipRule


@dataclass(frozen=True, slots=True, eq=False)
class MobileFormerState:
    """One clip after the only step."""

    probabilities_C: NDArray[np.float32]
    entropy_nats: float
    step: int = 0
    cube: Cube | None = None


class MobileFormerRecognizer:
    """Satisfies `models.recognizer.Recognizer[MobileFormerState]`. The network is copied: later changes are not seen.

    Raises ValueError when the clip rule or the one temperature does not fit the network.
    """

    def __init__(
        self, network: VideoMobileFormer, clip_rule: ClipRule, temperatures: Sequence[float], runtime: Runtime
    ) -> None:
        config = network.config
        self._clip_size = (config.num_frames, *config.frame_size)
        check_rule(clip_rule, self._clip_size, temperatures, exits=1)
        self._clip_spec = clip_rule
        self._temperature = temperatures[0]
        self._cost = step_flops(config)
        frames_NHWC = torch.zeros(*self._clip_size, 3, dtype=torch.uint8)
        folded = fold(network.encoder)
        # Of what is converted: another way to fold must not find the conversion of the last one.
        key = cache_key("video-mobile-former", folded, config.to_dict())
        self._run_encoder = runtime.compile(folded, frames_NHWC, key=key, one_by_one=True)
        self._classifier = copy.deepcopy(network.classifier).float().eval().to(runtime.device)

    @property
    def clip_rule(self) -> ClipRule:
        return self._clip_spec

    @property
    def step_flops(self) -> tuple[int, ...]:
        return (self._cost,)

    @torch.inference_mode()
    def glance(self, clips_THWC: Sequence[Frames]) -> list[MobileFormerState]:
        """The answer to each clip. Raises ValueError for a clip that is not uint8 of the clip rule's shape."""
        for clip_THWC in clips_THWC:
            check_clip(clip_THWC, self._clip_size)
        if not clips_THWC:
            return []
        features_BD = self._run_encoder(torch.from_numpy(np.concatenate(clips_THWC)))
        found = answers(self._classifier(features_BD), [self._temperature] * len(clips_THWC))
        return [MobileFormerState(probabilities_C, entropy_nats) for probabilities_C, entropy_nats in found]

    def focus(self, states: Sequence[MobileFormerState]) -> list[MobileFormerState]:
        """Raises ValueError: the answer after the first step is the last."""
        if not states:
            return []
        raise ValueError(f"a state at step {states[0].step} has no step left: a Video Mobile-Former looks once")
