"""Going on from held steps with real parts: AdaFocusV3 networks, a decode child and the engine's thread, no HTTP.

What is asked in small budgets, one after the other, says in the end what one large budget says, to the last bit.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import Model, load_model
from models.adafocus.shapes import tiny
from models.runtime import RuntimeConfig
from service.engine.budget import RecognitionOptions
from service.engine.pipeline import Pipeline
from service.engine.request import Recognition, Step
from service.metrics import Metrics
from service.settings import Settings
from service.wiring.keeping import open_results
from service.wiring.recognising import open_pipeline
from tests.clips import frozen, noise, write_clip
from training.data.synthetic import LABELS
from training.untrained import build_untrained


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    build_untrained(folder / "tiny", config=tiny(len(LABELS)), num_clips=24)
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keyframe in five: a glance alone costs less than half of the decoding, so that the clip is begun."""
    options = frozen(x264_params="keyint=5:scenecut=0:bframes=0")
    return write_clip(
        tmp_path_factory.mktemp("videos") / "a.mp4", seconds=4.0, size=(96, 96), pattern=noise, gop=5, options=options
    )


@asynccontextmanager
async def a_pipeline(bundles: Path, runtime: str, tolerance: float) -> AsyncIterator[Pipeline]:
    def load(_: Settings) -> list[Model]:
        return [load_model("tiny", bundles, runtime=RuntimeConfig(name=runtime, precision="fp32", num_threads=1))]

    settings = Settings(decode_children=1, keyframe_tolerance=tolerance)
    async with (
        open_results(settings, Metrics()) as results,
        open_pipeline(settings, Metrics(), load, results=results) as pipeline,
    ):
        yield pipeline


async def recognize(
    pipeline: Pipeline,
    path: Path,
    max_flops: int,
    threshold_nats: float,
    *,
    no_store: bool = False,
    picture: bool = False,
) -> Recognition:
    """Sure at `threshold_nats`: at 0 never, below that it is known beforehand, and all frames are decoded at once."""
    plan = pipeline.plan(RecognitionOptions(max_flops=max_flops, picture=picture))
    thresholds_nats = (threshold_nats,) * len(plan.thresholds_nats)
    plan = replace(plan, thresholds_nats=thresholds_nats, label_offsets_nats=())
    with pipeline.admit(plan) as ticket:
        async for event in pipeline.recognize(path, plan, ticket, no_store=no_store):
            last = event
    assert isinstance(last, Recognition)
    return last


@pytest.mark.parametrize(
    ("runtime", "tolerance", "threshold_nats"),
    [
        pytest.param("torch", 0.0, -1.0, id="torch, from begun clips to whole ones"),
        pytest.param("torch", 0.6, 0.0, id="torch, keyframes that stand in"),
        pytest.param("openvino", 0.0, 0.0, id="openvino"),
    ],
)
async def test_steps_that_are_bought_one_by_one_are_those_of_a_fresh_run(
    bundles: Path, video: Path, runtime: str, tolerance: float, threshold_nats: float
) -> None:
    async with a_pipeline(bundles, runtime, tolerance) as pipeline:
        prices = pipeline.offer("tiny").step_flops
        assert len(prices) > 2
        for num_steps in range(1, len(prices) + 1):
            ceiling = sum(prices[:num_steps])
            fresh = await recognize(pipeline, video, ceiling, threshold_nats, no_store=True)
            bought = await recognize(pipeline, video, ceiling, threshold_nats)
            assert [step.held for step in bought.steps] == [True] * (num_steps - 1) + [False]
            assert (bought.spent_flops, bought.total_flops) == (prices[num_steps - 1], fresh.spent_flops)
            for ours in (bought, await recognize(pipeline, video, ceiling, threshold_nats)):
                assert ours.exit_reason is fresh.exit_reason
                assert (ours.clip.pts_s, ours.in_domain) == (fresh.clip.pts_s, fresh.in_domain)
                for one, other in zip(ours.steps, fresh.steps, strict=True):
                    assert np.array_equal(one.probabilities_C, other.probabilities_C)
                    assert (one.entropy_nats, one.cube, one.flops) == (other.entropy_nats, other.cube, other.flops)
            assert ours.cached
            assert ours.spent_flops == 0


async def test_who_leaves_before_the_run_or_in_it_leaves_what_was_held_as_it_was(bundles: Path, video: Path) -> None:
    async with a_pipeline(bundles, "torch", 0.0) as pipeline:
        prices = pipeline.offer("tiny").step_flops
        await recognize(pipeline, video, prices[0], 0.0)

        plan = pipeline.plan(RecognitionOptions(max_flops=sum(prices[:2])))
        plan = replace(plan, thresholds_nats=(0.0,) * len(plan.thresholds_nats), label_offsets_nats=())

        async def goes_on_from() -> int:
            """How many steps are held, for a client that leaves once its video is decoded."""
            with pipeline.admit(plan) as ticket:
                found = (await pipeline.decode(video, plan, ticket)).found
            return 0 if found is None or found.paused is None else len(found.held.steps)

        assert await goes_on_from() == 1
        assert await goes_on_from() == 1
        with pipeline.admit(plan) as ticket:
            events = pipeline.run(await pipeline.decode(video, plan, ticket))
            first = await anext(events)
            assert isinstance(first, Step)
            assert first.held
            await events.aclose()
        async with asyncio.timeout(30):
            while not await goes_on_from():  # noqa: ASYNC110  the engine lets go of it between two steps
                await asyncio.sleep(0.01)

        bought = await recognize(pipeline, video, sum(prices[:2]), 0.0)
        assert [step.step for step in bought.steps if step.held] in ([0], [0, 1])


@pytest.fixture
def bearing(bundles: Path, tmp_path: Path) -> Path:
    """The bundle says that its frames may lack the loop filter."""
    shutil.copytree(bundles / "tiny", tmp_path / "tiny")
    manifest = tmp_path / "tiny" / "bundle.json"
    told = json.loads(manifest.read_text())
    told["clip"]["skip_loop_filter"] = True
    manifest.write_text(json.dumps(told))
    return tmp_path


async def test_steps_on_frames_with_and_without_the_loop_filter_never_stand_in_one_answer(
    bearing: Path, tmp_path: Path
) -> None:
    options = frozen(crf="35", x264_params="keyint=25:min-keyint=25:scenecut=0:bframes=0")
    video = write_clip(tmp_path / "a.mp4", seconds=4.0, size=(96, 96), pattern=noise, gop=25, options=options)

    def said(one: Recognition) -> list[list[float]]:
        return [step.probabilities_C.tolist() for step in one.steps]

    async with a_pipeline(bearing, "torch", 0.0) as pipeline:
        glance, *_ = prices = pipeline.offer("tiny").step_flops
        without = await recognize(pipeline, video, sum(prices), 0.0, no_store=True)
        filtered = await recognize(pipeline, video, sum(prices), 0.0, no_store=True, picture=True)
        assert said(without) != said(filtered), "else this shows nothing"
        await recognize(pipeline, video, glance, 0.0, picture=True)
        anew = await recognize(pipeline, video, sum(prices), 0.0)
        assert (said(anew), anew.spent_flops) == (said(without), without.spent_flops)
        assert said(await recognize(pipeline, video, sum(prices), 0.0, picture=True)) == said(filtered)
    async with a_pipeline(bearing, "torch", 0.0) as pipeline:
        await recognize(pipeline, video, glance, 0.0)
        gone_on = await recognize(pipeline, video, sum(prices), 0.0, picture=True)
        assert (said(gone_on), gone_on.spent_flops) == (said(without), sum(prices[1:]))
        assert gone_on.picture is not None
