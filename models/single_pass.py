"""The recognizer of every model that looks once: one step, whose price never varies.

Knows no architecture: logits come from whoever makes one, executed by a runtime.

Shape suffixes: B clips, C classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.answers import answers, check_clip, check_rule
from models.executed import Executed
from models.recognizer import Cube, Frames
from models.runtime.base import Array
from video.clip import ClipRule

if TYPE_CHECKING:  # a family's value holds what is made here
    from models.family import ModelConfig

Logits: TypeAlias = Callable[[Sequence[Frames]], Array]
"""From at least one checked clip to logits_BC in fp32, without gradients: numpy's array or torch's tensor; or to
(features_BD as numpy's array, logits_BC)."""


@dataclass(frozen=True, slots=True, eq=False)
class SinglePassState:
    """One clip after the only step."""

    probabilities_C: NDArray[np.float32]
    entropy_nats: float
    step: int = 0
    cube: Cube | None = None
    features_D: NDArray[np.float32] | None = None
    """What the logits were made of, where whoever makes them tells it."""


class SinglePassRecognizer:
    """Satisfies `models.recognizer.Recognizer[SinglePassState]`.

    `title` is what an error calls the model; `clip_size` (frames, rows, columns) is what it takes. `make_logits` is
    called once, after the checks. Raises ValueError when the clip rule or the one temperature does not fit.
    """

    def __init__(
        self,
        make_logits: Callable[[], Logits],
        *,
        title: str,
        clip_size: tuple[int, int, int],
        clip_rule: ClipRule,
        temperatures: Sequence[float],
        step_flops: tuple[int, ...],
    ) -> None:
        check_rule(clip_rule, clip_size, temperatures, exits=1)
        self._title = title
        self._clip_size = clip_size
        self._clip_rule = clip_rule
        self._temperature = temperatures[0]
        self._step_flops = step_flops
        self._logits = make_logits()

    @property
    def clip_rule(self) -> ClipRule:
        return self._clip_rule

    @property
    def step_flops(self) -> tuple[int, ...]:
        return self._step_flops

    def glance(self, clips_THWC: Sequence[Frames]) -> list[SinglePassState]:
        """The answer to each clip.

        Raises ValueError for a clip that is not uint8 of the clip rule's shape, FloatingPointError for logits that are
        not finite.
        """
        for clip_THWC in clips_THWC:
            check_clip(clip_THWC, self._clip_size)
        if not clips_THWC:
            return []
        looked = self._logits(clips_THWC)
        features_BD, logits_BC = looked if isinstance(looked, tuple) else ([None] * len(clips_THWC), looked)
        found = answers(logits_BC, [self._temperature] * len(clips_THWC))
        return [
            SinglePassState(probabilities_C, entropy_nats, features_D=features_D)
            for features_D, (probabilities_C, entropy_nats) in zip(features_BD, found, strict=True)
        ]

    def glance_features(self, state: SinglePassState) -> NDArray[np.float32]:
        """See `models.recognizer.TellsFeatures`. Raises ValueError where whoever makes the logits tells none."""
        if state.features_D is None:
            raise ValueError(f"a {self._title} tells no features of its glance, so that it has no open-set score")
        return state.features_D

    def focus(self, states: Sequence[SinglePassState]) -> list[SinglePassState]:
        """Raises ValueError: the answer after the first step is the last."""
        if not states:
            return []
        raise ValueError(f"a state at step {states[0].step} has no step left: a {self._title} looks once")


def encoder_and_classifier(
    title: str, config: "ModelConfig", clip_rule: ClipRule, temperatures: Sequence[float], executed: Executed
) -> SinglePassRecognizer:
    """Of two parts: `encoder`, uint8 frames of whole clips to features, and `classifier`, in fp32, to logits.

    Raises ValueError when the clip rule or the one temperature does not fit.
    """
    encoder, classifier = executed.functions["encoder"], executed.functions["classifier"]

    def logits(clips_THWC: Sequence[Frames]) -> tuple[NDArray[np.float32], Array]:
        features_BD: Array = encoder(np.concatenate(clips_THWC))
        return executed.arrays.to_numpy(features_BD), classifier(features_BD)

    return SinglePassRecognizer(
        lambda: logits,
        title=title,
        clip_size=(config.num_frames, *config.frame_size),
        clip_rule=clip_rule,
        temperatures=temperatures,
        step_flops=executed.prices.step_flops,
    )
