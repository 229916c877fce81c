"""TimeSformer behind the recognizer protocol: a view a step, the centre first; the logits of all views so far summed.

Knows the shape of the computation and its price, not what executes its parts (a runtime) nor who asks. Loads no torch:
the parts are functions between arrays, numpy's or torch's. As everywhere the encoder runs in the runtime's precision,
the head in fp32. A frame holds the views side by side
(`video.clip.Resize`: "three_crops"): the clip rule cut them, so that every step sees the picture's own pixels.

Shape suffixes: B clips, T frames, N = B * T, H rows, W columns, C classes or colour channels, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.answers import answers, check_clip, check_rule
from models.executed import Executed
from models.recognizer import Cube, Frames
from models.runtime.base import Array
from models.timesformer.config import TimeSformerConfig
from video.clip import ClipRule

VIEW_ORDER = {1: (0,), 3: (1, 0, 2)}
"""By the number of views: which one each step looks at, counted from the left (or the top)."""
_NO_MEMORY = ("can't allocate memory", "not enough memory", "bad_alloc", "out of memory")


@dataclass(frozen=True, slots=True, eq=False)
class TimeSformerState:
    """One clip after a view. `logits_C` is the sum over the views so far, where the runtime computes."""

    step: int
    probabilities_C: NDArray[np.float32]
    entropy_nats: float
    cube: Cube | None
    clip_THWC: Frames
    logits_C: Array
    features_D: NDArray[np.float32]
    """The class token of the latest view."""


class TimeSformerRecognizer:
    """Satisfies `models.recognizer.Recognizer[TimeSformerState]`, with `models.timesformer.parts` executed.

    Raises ValueError when the clip rule or the temperatures (one a view) do not fit the configuration.
    """

    def __init__(
        self, config: TimeSformerConfig, clip_rule: ClipRule, temperatures: Sequence[float], executed: Executed
    ) -> None:
        self._config = config
        self._clip_size = (config.num_frames, *config.frame_size)
        check_fit(config, clip_rule, temperatures)
        self._clip_rule = clip_rule
        self._temperatures = tuple(temperatures)
        self._arrays = executed.arrays
        self._step_flops = executed.prices.step_flops
        self._encoder, self._classifier = (executed.functions[name] for name in ("encoder", "classifier"))

    @property
    def clip_rule(self) -> ClipRule:
        return self._clip_rule

    @property
    def step_flops(self) -> tuple[int, ...]:
        return self._step_flops

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

    def _look(
        self, clips_THWC: Sequence[Frames], steps: Sequence[int], before: Sequence[Array | None]
    ) -> list[TimeSformerState]:
        if not clips_THWC:
            return []
        cubes = [self._cube(step) for step in steps]
        views = [
            clip_THWC[:, :, cube.x : cube.x + cube.width_px] for clip_THWC, cube in zip(clips_THWC, cubes, strict=True)
        ]
        features_BD = self._features(np.concatenate(views))
        fresh_BC = self._classifier(features_BD)
        sums = [new if old is None else old + new for old, new in zip(before, fresh_BC, strict=True)]
        sums_BC = self._arrays.stack(sums)
        tokens_BD = self._arrays.to_numpy(features_BD)
        found = answers(sums_BC, [self._temperatures[step] for step in steps])
        return [
            TimeSformerState(
                step=step,
                probabilities_C=probabilities_C,
                entropy_nats=entropy_nats,
                cube=cube if step else None,
                clip_THWC=clip_THWC,
                logits_C=self._arrays.copy(sums_BC[row]),
                features_D=tokens_BD[row].copy(),
            )
            for row, (step, cube, clip_THWC, (probabilities_C, entropy_nats)) in enumerate(
                zip(steps, cubes, clips_THWC, found, strict=True)
            )
        ]

    def _features(self, views_NHWC: NDArray[np.uint8]) -> Array:
        try:
            return self._encoder(views_NHWC)
        except RuntimeError as error:  # torch.OutOfMemoryError is one; the allocator's words tell it
            if not any(words in str(error) for words in _NO_MEMORY):
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


def check_fit(config: TimeSformerConfig, clip_rule: ClipRule, temperatures: Sequence[float]) -> None:
    """ValueError when the clip rule or the temperatures do not fit."""
    check_rule(clip_rule, (config.num_frames, *config.frame_size), temperatures, exits=config.num_views)
    if config.num_views > 1 and clip_rule.resize != "three_crops":
        raise ValueError(
            f"the clip rule says resize {clip_rule.resize!r}, but a model of {config.num_views} views needs "
            f"'three_crops': a frame holds the views side by side"
        )
