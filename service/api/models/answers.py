"""Turns an offer into the API's JSON. Knows both sides, and no HTTP."""

from dataclasses import asdict

from fovea.model_answers import Accuracies, FrontierPoint, LabelDetail, ModelDetail, ModelSummary, OpenSet, Thresholds
from service.engine.budget import Offer


def model_summary(offer: Offer, *, default: bool) -> ModelSummary:
    return ModelSummary(
        name=offer.name,
        bundle=offer.digest,
        task=offer.task,
        trained=offer.trained,
        default=default,
        num_labels=len(offer.labels),
        least_gflops=offer.least_flops / 1e9,
        full_gflops=offer.full_flops / 1e9,
        default_budget_gflops=offer.default_budget_flops / 1e9,
    )


def model_detail(offer: Offer, budget_flops: int, *, default: bool) -> ModelDetail:
    point, measured = offer.point_at(budget_flops), offer.measured_at(budget_flops)
    return ModelDetail(
        **dict(model_summary(offer, default=default)),
        labels=list(offer.labels),
        label_details=[LabelDetail(label=label, **asdict(offer.text_of(label))) for label in offer.labels],
        step_gflops=[cost / 1e9 for cost in offer.step_flops],
        paper_gflops=None if offer.paper_flops is None else offer.paper_flops / 1e9,
        num_frames=offer.clip_rule.num_frames,
        accuracies=Accuracies(
            on_new_places=point.solution.accuracy if offer.calibrated else None,
            on_validation_videos=None if measured is None else measured.accuracy,
        ),
        frontier=[FrontierPoint(gflops=p.mean_cost_flops / 1e9, accuracy=p.accuracy) for p in offer.frontier],
        thresholds=Thresholds(
            budget_gflops=budget_flops / 1e9,
            solved_for_gflops=point.budget_flops / 1e9,
            entropy_nats=list(point.solution.thresholds_nats),
            label_offsets_nats=[list(offsets) for offsets in offer.label_offsets_nats],
            mean_gflops=point.solution.mean_cost_flops / 1e9,
            accuracy=point.solution.accuracy if offer.calibrated else None,
        ),
        open_set=None if offer.open_set is None else OpenSet(**asdict(offer.open_set)),
        card=dict(offer.card),
    )
