"""Turns the service's nouns into the API's JSON. Knows both sides, and no HTTP.

Shape suffixes: C classes, T frames, B box sides (x, y, w, h).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fovea.answers import (
    Box,
    Compute,
    CubePlace,
    Exit,
    Prediction,
    RecognitionAnswer,
    StepEvent,
    StepTaken,
    TimingMs,
    Video,
)
from models.recognizer import Cube
from service.engine.budget import Offer
from service.engine.request import Plan, Recognition, Step
from service.engine.verdict import Terms
from video.clip import Clip


def recognition_answer(recognition: Recognition, offer: Offer) -> RecognitionAnswer:
    plan, timing, video, last = recognition.plan, recognition.timing, recognition.video, recognition.steps[-1]
    return RecognitionAnswer(
        id=recognition.id,
        model=plan.model,
        bundle=offer.digest,
        task=offer.task,
        trained=offer.trained,
        calibrated=offer.scores_calibrated,
        label=recognition.verdict.label,
        reason=recognition.verdict.reason,
        in_domain=None if recognition.in_domain is None else round(recognition.in_domain, 6),
        predictions=predictions(last.probabilities_C, offer.labels, plan.top_k, plan.terms),
        exit=Exit(
            reason=recognition.exit_reason,
            step=last.step,
            entropy_nats=round(last.entropy_nats, 6),
            detail=None if recognition.failure is None else recognition.failure.detail,
        ),
        compute=Compute(
            budget_gflops=plan.budget_flops / 1e9,
            max_gflops=None if plan.max_flops is None else plan.max_flops / 1e9,
            spent_gflops=recognition.spent_flops / 1e9,
            steps=[_step_taken(step, recognition.clip, offer) for step in recognition.steps],
        ),
        video=Video(
            duration_s=round(video.duration_s, 3),
            width=video.width_px,
            height=video.height_px,
            codec=video.codec,
            frames_decoded=video.frames_decoded,
            frames_sampled=video.frames_sampled,
            frames_damaged=video.frames_damaged,
            frames_missing=video.frames_missing,
            clock_breaks=video.clock_breaks,
            decode_gpixels=round(video.decode_pixels / 1e9, 6),
        ),
        timing_ms=TimingMs(
            upload=_ms(timing.upload_s),
            decode=_ms(timing.decode_s),
            queue=_ms(timing.queue_s),
            inference=_ms(timing.inference_s),
            total=_ms(timing.total_s),
            decode_steps=[_ms(seconds) for seconds in timing.decode_steps_s],
        ),
    )


def step_event(step: Step, spent_flops: int, clip: Clip, offer: Offer, plan: Plan) -> StepEvent:
    return StepEvent(
        **dict(_step_taken(step, clip, offer)),
        spent_gflops=spent_flops / 1e9,
        predictions=predictions(step.probabilities_C, offer.labels, plan.top_k, plan.terms),
    )


def predictions(
    probabilities_C: NDArray[np.float32], labels: Sequence[str], top_k: int, terms: Terms | None = None
) -> list[Prediction]:
    """The likeliest labels that `terms` let be told, likeliest first; of equals, the first in the list."""
    terms = terms or Terms()
    ranked = sorted(terms.told(labels), key=lambda place: -probabilities_C[place])
    return [
        Prediction(label=labels[i], score=round(float(probabilities_C[i]), 6))
        for i in ranked[:top_k]
        if probabilities_C[i] >= terms.min_score
    ]


def _step_taken(step: Step, clip: Clip, offer: Offer) -> StepTaken:
    return StepTaken(
        step=step.step,
        kind="glance" if step.cube is None else "cube",
        gflops=step.flops / 1e9,
        entropy_nats=round(step.entropy_nats, 6),
        frames_decoded=step.frames_decoded,
        top=predictions(step.probabilities_C, offer.labels, 1)[0],
        cube=None if step.cube is None else cube_place(step.cube, clip),
    )


def cube_place(cube: Cube, clip: Clip) -> CubePlace:
    """Where the cube lies in the source: its times, and the smallest box that holds it in all of its frames.

    Frames show different regions only where the resolution changes in mid-stream. Letterbox bars are no part of the
    source: what reaches into them is cut off.
    """
    height = clip.frames_THWC.shape[1]
    view_TB, first, width = clip.view_at(cube.x)
    frames, column = slice(cube.t, cube.t + cube.num_frames), cube.x - first
    x_T, y_T, w_T, h_T = view_TB[frames].astype(np.float64).T
    left, right = (x_T + w_T * column / width).min(), (x_T + w_T * (column + cube.width_px) / width).max()
    top, bottom = (y_T + h_T * cube.y / height).min(), (y_T + h_T * (cube.y + cube.height_px) / height).max()
    x, right, y, bottom = (round(float(np.clip(side, 0, 1)), 6) for side in (left, right, top, bottom))
    pts_s = clip.pts_s[frames]
    return CubePlace(
        pts_s=(round(pts_s[0], 3), round(pts_s[-1], 3)),
        box=Box(x=x, y=y, w=round(right - x, 6), h=round(bottom - y, 6)),
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
