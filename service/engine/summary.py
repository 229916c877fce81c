"""A recognition as plain values: what remains of it once its clip is gone, to be kept. Knows no JSON and no HTTP.

Shape suffixes: C classes, T frames, B box sides (x, y, w, h).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fovea.words import AbstainReason, ExitReason
from models.recognizer import Cube
from service.engine.budget import Offer
from service.engine.request import Recognition, Step, Timing
from video.clip import Clip, VideoInfo


@dataclass(frozen=True, slots=True)
class Scored:
    label: str
    probability: float
    display_name: str | None = None  # the label for people


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cube lies in the source: its times, and the smallest box that holds it in all of its frames.

    The box is normalised to the displayed frame.
    """

    first_pts_s: float
    last_pts_s: float
    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True, slots=True)
class StepSummary:
    step: int  # 0 is the glance, or its first part
    flops: int
    entropy_nats: float
    top: Scored
    place: Place | None  # of the cube; None for the glance


@dataclass(frozen=True, slots=True)
class Summary:
    id: str
    model: str
    digest: str  # of the model's files
    task: str
    trained: bool
    scores_calibrated: bool
    likeliest: tuple[Scored, ...]  # likeliest first
    exit_reason: ExitReason
    budget_flops: int
    max_flops: int | None
    steps: tuple[StepSummary, ...]
    video: VideoInfo
    timing: Timing
    label: str | None = None
    display_name: str | None = None  # the label for people
    reason: AbstainReason | None = None  # why there is no label
    in_domain: float | None = None  # None: the model has no open-set score


def summarise(recognition: Recognition, offer: Offer) -> Summary:
    """`offer` is the model's. Labels below the plan's `min_score` are left out of `likeliest`."""
    plan = recognition.plan
    likeliest = _likeliest(recognition.steps[-1].probabilities_C, offer, plan.top_k)
    label = recognition.verdict.label
    return Summary(
        id=recognition.id,
        model=plan.model,
        digest=offer.digest,
        task=offer.task,
        trained=offer.trained,
        scores_calibrated=offer.scores_calibrated,
        likeliest=tuple(scored for scored in likeliest if scored.probability >= plan.terms.min_score),
        exit_reason=recognition.exit_reason,
        budget_flops=plan.budget_flops,
        max_flops=plan.max_flops,
        steps=tuple(_step(step, recognition.clip, offer) for step in recognition.steps),
        video=recognition.video,
        timing=recognition.timing,
        label=label,
        display_name=None if label is None else offer.text_of(label).display_name,
        reason=recognition.verdict.reason,
        in_domain=recognition.in_domain,
    )


def _step(step: Step, clip: Clip, offer: Offer) -> StepSummary:
    return StepSummary(
        step=step.step,
        flops=step.flops,
        entropy_nats=step.entropy_nats,
        top=_likeliest(step.probabilities_C, offer, 1)[0],
        place=None if step.cube is None else place(step.cube, clip),
    )


def _likeliest(probabilities_C: NDArray[np.float32], offer: Offer, top_k: int) -> list[Scored]:
    """Of equals, the one that comes first in the list."""
    order = np.argsort(-probabilities_C, kind="stable")[:top_k]
    labels = offer.labels
    return [
        Scored(labels[i], round(float(probabilities_C[i]), 6), offer.text_of(labels[i]).display_name) for i in order
    ]


def place(cube: Cube, clip: Clip) -> Place:
    """Frames show different regions only where the resolution changes in mid-stream.

    Letterbox bars are no part of the source: what reaches into them is cut off.
    """
    height = clip.frames_THWC.shape[1]
    view_TB, first, width = clip.view_at(cube.x)
    column = cube.x - first
    x_T, y_T, w_T, h_T = view_TB[list(cube.frames)].astype(np.float64).T
    left, right = (x_T + w_T * column / width).min(), (x_T + w_T * (column + cube.width_px) / width).max()
    top, bottom = (y_T + h_T * cube.y / height).min(), (y_T + h_T * (cube.y + cube.height_px) / height).max()
    x, right, y, bottom = (round(float(np.clip(side, 0, 1)), 6) for side in (left, right, top, bottom))
    from_s, to_s = clip.pts_s[cube.frames[0]], clip.pts_s[cube.frames[-1]]
    return Place(from_s, to_s, x, y, round(right - x, 6), round(bottom - y, 6))
