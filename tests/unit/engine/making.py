"""Small values for the engine's tests: clips without video, plans without bundles."""

from collections.abc import Callable

import numpy as np

from service.engine.lanes import Lane
from service.engine.request import EngineEvent, Plan, Request, Step
from video.clip import Clip, VideoInfo

GLANCE, CUBE = 100, 40
UPLOADS, CAMERAS = Lane("upload", 0.5), Lane("camera", 0.5)
COSTS = (GLANCE, CUBE, CUBE, CUBE)


def a_clip(seed: int = 0) -> Clip:
    frames_THWC = np.random.default_rng(seed).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    info = VideoInfo(duration_s=1.0, width_px=4, height_px=4, codec="h264", frames_decoded=2, frames_sampled=2)
    return Clip(frames_THWC, (0.0, 0.5), np.tile(np.float32([0, 0, 1, 1]), (2, 1)), info)


def a_plan(
    *,
    model: str = "m",
    costs: tuple[int, ...] = COSTS,
    thresholds: tuple[float, ...] | None = None,
    ceiling: int | None = None,
    deadline_ms: int | None = None,
) -> Plan:
    """Never confident before the last step, unless `thresholds` say otherwise."""
    return Plan(
        model=model,
        step_flops=costs,
        thresholds_nats=thresholds if thresholds is not None else (-1.0,) * (len(costs) - 1),
        budget_flops=sum(costs),
        max_flops=ceiling,
        deadline_ms=deadline_ms,
        top_k=5,
    )


def a_request(
    plan: Plan | None = None,
    *,
    steps_taken: int = 0,
    deadline_s: float | None = None,
    emit: Callable[[EngineEvent], None] = lambda event: None,
    seed: int = 0,
    lane: Lane = UPLOADS,
) -> Request:
    request = Request(plan or a_plan(), a_clip(seed), deadline_s, emit, lane)
    request.steps += [a_step(step, request.plan.step_flops[step]) for step in range(steps_taken)]
    return request


def a_step(step: int, flops: int, entropy_nats: float = 1.0) -> Step:
    return Step(step, flops, entropy_nats, np.float32([0.5, 0.5]), None)
