"""Continuous batching with real parts: AdaFocusV3 networks, decode children and the engine's thread, no HTTP.

Whether a video is recognised alone or in company changes nothing but the time it takes (docs/ARCHITECTURE.md,
Numerics).
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import Model, load_model
from models.adafocus.shapes import tiny
from models.runtime import RuntimeConfig
from service.engine.budget import RecognitionOptions
from service.engine.pipeline import Pipeline
from service.engine.request import Recognition
from service.metrics import Metrics
from service.settings import Settings
from service.wiring.recognising import open_pipeline
from tests.clips import noise, write_clip
from training.data.synthetic import LABELS
from training.untrained import build_untrained

NUM_VIDEOS = 16
TOLERANCE = 1e-3  # of probabilities, and of entropies about their thresholds


class Gated:
    """A recognizer whose first glance waits until the test opens the gate: all others are waiting by then."""

    def __init__(self, model: Model, gate: threading.Event) -> None:
        self._recognizer = model.recognizer
        self._gate = gate
        self.clip_rule, self.step_flops = model.recognizer.clip_rule, model.recognizer.step_flops

    def glance(self, clips_THWC: Sequence[Any]) -> list[Any]:
        assert self._gate.wait(60)
        return self._recognizer.glance(clips_THWC)

    def focus(self, states: Sequence[Any]) -> list[Any]:
        return self._recognizer.focus(states)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    build_untrained(folder / "tiny", config=tiny(len(LABELS)), num_clips=24)
    return folder


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clips of different length, so that they differ in content at every sampled frame."""
    folder = tmp_path_factory.mktemp("videos")
    return [
        write_clip(folder / f"{n}.mp4", seconds=0.5 + n / 8, size=(96 + 2 * n, 96), pattern=noise)
        for n in range(NUM_VIDEOS)
    ]


@asynccontextmanager
async def a_pipeline(bundles: Path, gate: threading.Event, **runtime: str) -> AsyncIterator[tuple[Pipeline, Metrics]]:
    def load(_: Settings) -> list[Model]:
        model = load_model("tiny", bundles, runtime=RuntimeConfig(**runtime, num_threads=1))
        return [Model(model.bundle, Gated(model, gate))]

    metrics = Metrics()
    async with open_pipeline(Settings(decode_children=2), metrics, load) as pipeline:
        yield pipeline, metrics


async def recognize(pipeline: Pipeline, path: Path, options: RecognitionOptions) -> Recognition:
    plan = pipeline.plan(options)
    with pipeline.admit(plan) as ticket:
        async for event in pipeline.recognize(path, plan, ticket):
            last = event
    assert isinstance(last, Recognition)
    return last


def assert_same_answer(alone: Recognition, together: Recognition) -> None:
    """Same label, probabilities within TOLERANCE; another step only where an entropy lies that near its threshold."""
    thresholds = alone.plan.thresholds_nats
    for one, other in zip(alone.steps, together.steps, strict=False):
        assert np.abs(one.probabilities_C - other.probabilities_C).max() <= TOLERANCE
        assert one.cube == other.cube
    if len(alone.steps) != len(together.steps):
        shorter = min(alone.steps, together.steps, key=len)[-1]
        offset = alone.plan.label_offsets_nats[shorter.step][int(shorter.probabilities_C.argmax())]
        assert abs(shorter.entropy_nats - offset - thresholds[shorter.step]) <= TOLERANCE
    else:
        assert alone.steps[-1].probabilities_C.argmax() == together.steps[-1].probabilities_C.argmax()


@pytest.mark.parametrize("runtime", [{"name": "torch", "precision": "fp32"}, {"name": "openvino"}], ids=str)
@pytest.mark.parametrize("share_of_full_cost", [0.6, 1.0])
async def test_sixteen_videos_at_once_share_batches_and_get_the_answers_they_get_alone(
    bundles: Path, videos: list[Path], runtime: dict[str, str], share_of_full_cost: float
) -> None:
    gate = threading.Event()
    gate.set()
    async with a_pipeline(bundles, gate, **runtime) as (pipeline, metrics):
        offer = pipeline.offer("tiny")
        budget = offer.least_flops + int(share_of_full_cost * (offer.full_flops - offer.least_flops))
        options = RecognitionOptions(budget_flops=budget)
        alone = [await recognize(pipeline, video, options) for video in videos]
        before = batches(metrics)

        gate.clear()
        waiting = asyncio.gather(*(recognize(pipeline, video, options) for video in videos))
        await everybody_is_in(metrics)
        gate.set()
        together = await waiting

        for one, other in zip(alone, together, strict=True):
            assert_same_answer(one, other)
        cubes = sum(len(one.steps) - 1 for one in together)
        assert cubes >= NUM_VIDEOS // 4, "the budget pays for cubes, or nothing is shown here"
        assert cubes / (batches(metrics) - before) > 2.5, "cubes of different videos run together"


async def everybody_is_in(metrics: Metrics) -> None:
    for _ in range(1000):
        names = ("fovea_requests_waiting", "fovea_requests_running")
        if sum(metrics.registry.get_sample_value(name) or 0 for name in names) == NUM_VIDEOS:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not all videos reached the engine")


def batches(metrics: Metrics) -> float:
    """Focus batches so far."""
    return metrics.registry.get_sample_value("fovea_batch_size_count", {"kind": "focus"}) or 0.0
