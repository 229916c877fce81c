"""TimeSformer behind the recognizer protocol: a view a step, the centre first; the logits of all views so far summed.

Knows the shape of the computation and its price, not what executes the encoder (a runtime) nor who asks. As everywhere
the encoder runs in the runtime's precision, the head in fp32. A frame holds the views side by side
(`video.clip.Resize`: "three_crops"): the clip rule cut them, so that every step sees the picture's own pixels.

Shape suffixes: B clips, T frames, N = B * T, H rows, W columns, C classes or colour channels, D features.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.answers import answers, cache_key, check_clip, check_rule
from models.recognizer import Cube, Frames
from models.runtime.base import Runtime
from models.timesformer.config import TimeSformerConfig
from models.timesformer.costs import step_flops
from models.timesformer.folding import fold
from models.timesformer.network import TimeSformer
from video.clip import ClipRule

VIEW_ORDER = {1: (0,), 3: (1, 0, 2)}
"""By the number of views: which one each step looks at, counted from the left (or the top)."""
_NO_MEMORY = ("can't allocate memory", "not enough memory", "bad_alloc", "out of memory")


@dataclass(frozen=True, slots=True, eq=False)
class TimeSformerState:
    """One clip after a view. `logits_C` is the sum over the views so far, on the runtime's device."""

    step: int
    probabilities_C: NDArray[np.float32]
    entropy_nats: float
    cube: Cube | None
    clip_THWC: Frames
    logits_C: Tensor
    features_D: NDArray[np.float32]
    """The class token of the latest view."""


class TimeSformerRecognizer:
    """Satisfies `models.recognizer.Recognizer[TimeSformerState]`. The network is copied: later changes are not seen.

    Raises ValueError when the clip rule or the temperatures (one a view) do not fit the network.
    """

    def __init__(
        self, network: TimeSformer, clip_rule: ClipRule, temperatures: Sequence[float], runtime: Runtime
    ) -> None:
        config = network.config
        self._config = config
        self._clip_size = (config.num_frames, *config.frame_size)
        check_rule(clip_rule, self._clip_size, temperatures, exits=config.num_views)
        _check_views(clip_rule, config)
        self._clip_rule = clip_rule
        self._temperatures = tuple(temperatures)
        folded = fold(network.encoder)
        view_THWC = torch.zeros(config.num_frames, *config.view_size, 3, dtype=torch.uint8)
        key = cache_key("timesformer", folded, config.to_dict())
        self._run_encoder = runtime.compile(folded, view_THWC, key=key, one_by_one=True)
        self._classifier = copy.deepcopy(network.classifier).float().eval().to(runtime.device)

    @property
    def clip_rule(self) -> ClipRule:
        return self._clip_rule

    @property
    def step_flops(self) -> tuple[int, ...]:
        return step_flops(self._config)

    def glance(self, clips_THWC: Sequence[Frames]) -> list[TimeSformerState]:
        """The answer of each clip's centre view. Raises ValueError for a clip that is not uint8 of the clip rule's
        shape, MemoryError where the views do not fit the memory."""
        for clip_THWC in clips_THWC:
            check_clip(clip_THWC, self._clip_size)
        return self._look(clips_THWC, [0] * len(clips_THWC), [None] * len(clips_THWC))

    def focus(self, states: Sequence[TimeSformerState]) -> list[TimeSformerState]:
        """One view more for each clip; rows may stand at different steps. ValueError for one that has seen them all."""
        for state in states:
            if state.step + 1 >= self._config.num_views:
                raise ValueError(
                    f"a state at step {state.step} has no step left: this model looks at {self._config.num_views} "
                    f"views; glance at the clip again to start anew"
                )
        clips_THWC = [state.clip_THWC for state in states]
        return self._look(clips_THWC, [state.step + 1 for state in states], [state.logits_C for state in states])

    def glance_features(self, state: TimeSformerState) -> NDArray[np.float32]:
        """See `models.recognizer.TellsFeatures`: the class token of the centre view."""
        return state.features_D

    @torch.inference_mode()
    def _look(
        self, clips_THWC: Sequence[Frames], steps: Sequence[int], before: Sequence[Tensor | None]
    ) -> list[TimeSformerState]:
        if not clips_THWC:
            return []
        cubes = [self._cube(step) for step in steps]
        views = [
            clip_THWC[:, :, cube.x : cube.x + cube.width_px] for clip_THWC, cube in zip(clips_THWC, cubes, strict=True)
        ]
        features_BD = self._features(torch.from_numpy(np.concatenate(views)))
        fresh_BC: Tensor = self._classifier(features_BD)
        sums_BC = torch.stack([new if old is None else old + new for old, new in zip(before, fresh_BC, strict=True)])
        found = answers(sums_BC, [self._temperatures[step] for step in steps])
        return [
            TimeSformerState(
                step=step,
                probabilities_C=probabilities_C,
                entropy_nats=entropy_nats,
                cube=cube if step else None,
                clip_THWC=clip_THWC,
                logits_C=sums_BC[row].clone(),
                features_D=features_BD[row].cpu().numpy().copy(),
            )
            for row, (step, cube, clip_THWC, (probabilities_C, entropy_nats)) in enumerate(
                zip(steps, cubes, clips_THWC, found, strict=True)
            )
        ]

    def _features(self, views_NHWC: Tensor) -> Tensor:
        try:
            return self._run_encoder(views_NHWC)
        except RuntimeError as error:  # torch.OutOfMemoryError is one; on a CPU the allocator's words tell it
            if not isinstance(error, torch.OutOfMemoryError) and not any(words in str(error) for words in _NO_MEMORY):
                raise
            config = self._config
            raise MemoryError(
                f"{len(views_NHWC) // config.num_frames} views of {config.num_frames} frames of "
                f"{config.view_size[0]} x {config.view_size[1]} with {config.scheme} attention do not fit the memory; "
                f"serve a model of fewer frames, a smaller size or divided attention"
            ) from error

    def _cube(self, step: int) -> Cube:
        rows, columns = self._config.view_size
        place = VIEW_ORDER[self._config.num_views][step]
        return Cube(0, 0, place * columns, self._config.num_frames, rows, columns)


def _check_views(clip_rule: ClipRule, config: TimeSformerConfig) -> None:
    if config.num_views > 1 and clip_rule.resize != "three_crops":
        raise ValueError(
            f"the clip rule says resize {clip_rule.resize!r}, but a model of {config.num_views} views needs "
            f"'three_crops': a frame holds the views side by side"
        )
