"""Turns a timeline's values into the API's JSON. Knows both sides, and no HTTP."""

from collections.abc import Sequence

from fovea.answers import Prediction
from fovea.timeline_answers import (
    Segment,
    TimelineAnswer,
    TimelineCompute,
    TimelineEnd,
    TimelinePoint,
    TimelineProgress,
    TimelineTimingMs,
    TimelineVideo,
    TimelineWindows,
)
from service.api.recognitions.answers import display_name, predictions
from service.engine.budget import Offer
from service.engine.verdict import Terms
from service.timelines import values


def segment_answer(segment: values.Segment, offer: Offer, *, top_k: int, terms: Terms) -> Segment:
    likeliest: list[Prediction] = []
    if segment.probabilities_C is not None:
        likeliest = predictions(segment.probabilities_C, offer, top_k, terms)
    return Segment(
        start_s=round(segment.start_s, 3),
        end_s=round(segment.end_s, 3),
        label=segment.label,
        display_name=display_name(segment.label, offer),
        predictions=likeliest,
        entropy_nats=_rounded(segment.entropy_nats),
        spent_gflops=segment.spent_flops / 1e9,
        windows=segment.num_windows,
    )


def progress_event(progress: values.Progress) -> TimelineProgress:
    return TimelineProgress(
        done_s=round(progress.done_s, 3),
        duration_s=round(progress.duration_s, 3),
        spent_gflops=progress.spent_flops / 1e9,
        segments=progress.num_segments,
    )


def timeline_answer(
    timeline: values.Timeline, segments: Sequence[Segment], offer: Offer, *, upload_s: float
) -> TimelineAnswer:
    options, grid, looks, shown = timeline.plan.options, timeline.grid, timeline.looks, timeline.shown
    facts, work = shown.facts, shown.work
    return TimelineAnswer(
        id=timeline.id,
        model=offer.name,
        bundle=offer.digest,
        task=offer.task,
        trained=offer.trained,
        calibrated=offer.scores_calibrated,
        window_s=round(grid.window_s, 6),
        stride_s=round(grid.stride_s, 6),
        min_score=options.each.min_score,
        segments=list(segments),
        curve=[
            TimelinePoint(
                time_s=round(point.time_s, 3),
                label=point.label,
                score=round(point.score, 6),
                entropy_nats=_rounded(point.entropy_nats),
                spent_gflops=point.spent_gflops,
            )
            for point in timeline.curve
        ],
        end=TimelineEnd(reason=timeline.ended, at_s=round(timeline.ended_at_s, 3), detail=timeline.detail),
        compute=TimelineCompute(
            budget_gflops=_gflops(options.budget_flops),
            budget_gflops_per_s=_gflops(options.budget_flops_per_s),
            max_gflops=_gflops(options.each.max_flops),
            spent_gflops=timeline.spent_flops / 1e9,
            windows=TimelineWindows(
                count=looks.windows,
                full=looks.full,
                carried=looks.carried,
                scouted=looks.scouted,
                unpaid=looks.unpaid,
            ),
        ),
        video=TimelineVideo(
            duration_s=round(facts.duration_s, 3),
            width=shown.width_px,
            height=shown.height_px,
            codec=facts.codec,
            frames=facts.num_packets,
            frames_decoded=work.frames_decoded,
            frames_damaged=work.frames_damaged,
            clock_breaks=facts.clock_breaks,
            keyframe_interval_s=_rounded(facts.keyframe_interval_s),
        ),
        timing_ms=TimelineTimingMs(upload=round(upload_s * 1e3, 3), total=round((upload_s + timeline.took_s) * 1e3, 3)),
    )


def _gflops(flops: int | None) -> float | None:
    return None if flops is None else flops / 1e9


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
