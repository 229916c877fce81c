"""The steps that were taken on one video, as plain values to be kept once its frames are gone. Knows no engine.

At every budget one model takes the same steps on one video, in the same order: a budget only says after which of them
to stop. So what is kept is the steps, and whoever asks again stops where its own plan says.

Shape suffixes: C classes, T frames, B box sides.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from fovea.words import ExitReason
from models.recognizer import Cube
from service.engine.request import Plan, Step
from service.engine.scheduler import exit_reason
from video.clip import Clip, VideoInfo

VERSION = 1  # of the text; another version's is not read


@dataclass(frozen=True, slots=True, eq=False)
class HeldSteps:
    """`infos`: what was known of the video after each step. `clip`: where its frames lie, with black in their place."""

    steps: tuple[Step, ...]
    infos: tuple[VideoInfo, ...]
    clip: Clip
    in_domain: float | None

    @classmethod
    def of(cls, steps: Sequence[Step], infos: Sequence[VideoInfo], clip: Clip, in_domain: float | None) -> "HeldSteps":
        """`clip`: the video's, as the last step saw it."""
        held = tuple(replace(step, probabilities_C=step.probabilities_C.copy(), held=True) for step in steps)
        return cls(held, tuple(infos), _without_pixels(clip), in_domain)

    def exit(self, plan: Plan) -> tuple[int, ExitReason] | None:
        """The step after which this plan stops, and why; None: it goes on after the last one that is held."""
        spent_flops = 0
        for step in self.steps:
            spent_flops += step.flops
            label = int(step.probabilities_C.argmax())
            reason = exit_reason(plan, step.step, step.entropy_nats, spent_flops, late=False, label=label)
            if reason is not None:
                return step.step, reason
        return None

    def up_to(self, step: int) -> "HeldSteps":
        """As it was after that step."""
        steps, infos = self.steps[: step + 1], self.infos[: step + 1]
        return HeldSteps(steps, infos, replace(self.clip, info=infos[-1]), self.in_domain)

    def text(self) -> str:
        """`of_text` makes the same of it, to the last bit."""
        clip, size = self.clip, self.clip.frames_THWC.shape[:3]
        view = _packed(clip.view_TB)
        steps = tuple(
            _Step(step.flops, step.entropy_nats, _packed(step.probabilities_C), step.cube, step.frames_decoded, info)
            for step, info in zip(self.steps, self.infos, strict=True)
        )
        kept = _Steps(VERSION, steps, size, clip.pts_s, view, clip.num_crops, self.in_domain)
        return _STEPS.dump_json(kept).decode()

    @classmethod
    def of_text(cls, text: str) -> "HeldSteps | None":
        """None where another version wrote it, or where it is broken."""
        try:
            kept = _STEPS.validate_json(text)
            if kept.version != VERSION or not kept.steps:
                return None
            view_TB = _unpacked(kept.view).reshape(-1, 4)
            steps = tuple(
                Step(
                    at,
                    one.flops,
                    one.entropy_nats,
                    _unpacked(one.probabilities),
                    one.cube,
                    one.frames_decoded,
                    held=True,
                )
                for at, one in enumerate(kept.steps)
            )
        except (ValidationError, ValueError):
            return None
        infos = tuple(one.info for one in kept.steps)
        clip = Clip(_black(*kept.size_THW), kept.pts_s, view_TB, infos[-1], kept.num_crops)
        return cls(steps, infos, clip, kept.in_domain)


@dataclass(frozen=True, slots=True)
class _Step:
    """A step as text."""

    flops: int
    entropy_nats: float
    probabilities: str
    cube: Cube | None
    frames_decoded: int
    info: VideoInfo


@dataclass(frozen=True, slots=True)
class _Steps:
    version: int
    steps: tuple[_Step, ...]
    size_THW: tuple[int, int, int]
    pts_s: tuple[float, ...]
    view: str
    num_crops: int
    in_domain: float | None


_STEPS = TypeAdapter(_Steps)


def _without_pixels(clip: Clip) -> Clip:
    return replace(clip, frames_THWC=_black(*clip.frames_THWC.shape[:3]), absent=frozenset(), stand_ins=frozenset())


def _black(frames: int, rows: int, columns: int) -> NDArray[np.uint8]:
    """Frames of three bytes' memory, which cannot be written."""
    return np.broadcast_to(np.zeros(3, np.uint8), (frames, rows, columns, 3))


def _packed(array: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(array, np.float32).tobytes()).decode()


def _unpacked(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text), np.float32).copy()
