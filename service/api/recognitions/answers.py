"""Turns the service's nouns into the API's JSON. Knows both sides, and no HTTP.

Shape suffix: C classes.
"""

import base64

import numpy as np
from numpy.typing import NDArray

from fovea.answers import (
    Box,
    Compute,
    CubePlace,
    Exit,
    Picture,
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
from service.engine.still import Still
from service.engine.summary import place
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
        display_name=display_name(recognition.verdict.label, offer),
        reason=recognition.verdict.reason,
        in_domain=None if recognition.in_domain is None else round(recognition.in_domain, 6),
        cached=recognition.cached,
        predictions=predictions(last.probabilities_C, offer, plan.top_k, plan.terms),
        exit=Exit(
            reason=recognition.exit_reason,
            step=last.step,
            entropy_nats=round(last.entropy_nats, 6),
            detail=None if recognition.failure is None else recognition.failure.detail,
        ),
        compute=Compute(
            budget_gflops=plan.budget_flops / 1e9,
            budget_granted_gflops=plan.budget_granted_flops / 1e9,
            max_gflops=None if plan.max_flops is None else plan.max_flops / 1e9,
            spent_gflops=recognition.spent_flops / 1e9,
            total_gflops=recognition.total_flops / 1e9,
            resumed_from_step=recognition.resumed_from_step,
            steps=[_step_taken(step, recognition.clip, offer, plan) for step in recognition.steps],
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
        picture=None if recognition.picture is None else _picture(recognition.picture),
    )


def step_event(step: Step, spent_flops: int, clip: Clip, offer: Offer, plan: Plan) -> StepEvent:
    return StepEvent(
        **dict(_step_taken(step, clip, offer, plan)),
        spent_gflops=spent_flops / 1e9,
        predictions=predictions(step.probabilities_C, offer, plan.top_k, plan.terms),
    )


def predictions(
    probabilities_C: NDArray[np.float32], offer: Offer, top_k: int, terms: Terms | None = None
) -> list[Prediction]:
    """The likeliest labels that `terms` let be told, likeliest first; of equals, the first in the list."""
    terms = terms or Terms()
    labels = offer.labels
    ranked = sorted(terms.told(labels), key=lambda place: -probabilities_C[place])
    return [
        Prediction(
            label=labels[i],
            display_name=offer.text_of(labels[i]).display_name,
            score=round(float(probabilities_C[i]), 6),
        )
        for i in ranked[:top_k]
        if probabilities_C[i] >= terms.min_score
    ]


def display_name(label: str | None, offer: Offer) -> str | None:
    return None if label is None else offer.text_of(label).display_name


def _step_taken(step: Step, clip: Clip, offer: Offer, plan: Plan) -> StepTaken:
    return StepTaken(
        step=step.step,
        kind="glance" if step.cube is None else "cube",
        gflops=step.flops / 1e9,
        entropy_nats=round(step.entropy_nats, 6),
        frames_decoded=step.frames_decoded,
        held=step.held,
        top=predictions(step.probabilities_C, offer, 1, Terms(only=plan.terms.only))[0],
        cube=None if step.cube is None else cube_place(step.cube, clip),
    )


def cube_place(cube: Cube, clip: Clip) -> CubePlace:
    """Where the cube lies in the source: its times, and the smallest box that holds it in all of its frames."""
    where = place(cube, clip)
    return CubePlace(
        pts_s=(round(where.first_pts_s, 3), round(where.last_pts_s, 3)),
        box=Box(x=where.x, y=where.y, w=where.w, h=where.h),
    )


def _picture(still: Still) -> Picture:
    x, y, w, h = still.box_B
    return Picture(
        jpeg_base64=base64.b64encode(still.jpeg).decode(),
        width=still.width_px,
        height=still.height_px,
        pts_s=round(still.pts_s, 3),
        box=Box(x=x, y=y, w=w, h=h),
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
