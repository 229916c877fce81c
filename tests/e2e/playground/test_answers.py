"""The playground shows an answer as it comes: every step, cubes at their place and time, the cost, why it ended."""

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import FloatRect, Page, expect

from fovea import Client
from models.recognizer import Cube
from tests.clips import cached_clip, noise, solid
from tests.e2e.playground.conftest import OpenPage, recognized, unfolded
from tests.serving import Served, serving
from tests.tiny import Gate, TinyRecognizer, TinyState, tiny_model

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class WanderingState(TinyState):
    """Cubes of one frame each, that differ in place and time: upper left of frame 0, lower right of frame 2."""

    @property
    def cube(self) -> Cube | None:
        return (
            None if self.step == 0 else Cube(2 * (self.step - 1), 16 * (self.step - 1), 16 * (self.step - 1), 1, 8, 12)
        )


class Wandering(TinyRecognizer):
    def focus(self, states: Sequence[TinyState]) -> list[TinyState]:
        return [WanderingState(state.step, state.mean_C) for state in super().focus(states)]


class Lingering(TinyRecognizer):
    """All cubes are of the same frames."""

    def focus(self, states: Sequence[TinyState]) -> list[TinyState]:
        return [LingeringState(state.step, state.mean_C) for state in super().focus(states)]


@dataclass(frozen=True)
class LingeringState(TinyState):
    @property
    def cube(self) -> Cube | None:
        return None if self.step == 0 else Cube(0, 0, 0, 2, 8, 12)


@pytest.fixture(scope="module")
def clip() -> Path:
    return cached_clip("texture.mp4", pattern=noise, seconds=4.0)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(Wandering()) as service:
        yield service


async def test_each_step_is_shown_when_it_is_taken(open_page: OpenPage, clip: Path) -> None:
    gate = Gate("focus")
    with serving(TinyRecognizer(gate)) as served:
        page = await open_page(served)
        await page.set_input_files("#file", clip)
        await page.click("#go")
        steps = page.locator(".run tbody tr")
        await expect(steps).to_have_count(1)  # the cube is held back
        await expect(steps.first).to_contain_text("the whole clip")
        await expect(page.locator(".run h2")).to_contain_text("…")
        await expect(page.locator("#go")).to_have_text("Stop")
        gate.open()
        await recognized(page)
        await expect(steps).to_have_count(3)
        await expect(page.locator("#spoken")).to_contain_text("Every step was taken")


async def test_what_is_shown_is_what_the_service_answers(served: Served, open_page: OpenPage, clip: Path) -> None:
    with Client(served.url) as fovea:
        answer = fovea.recognize(clip)
    page = await open_page(served)
    await page.set_input_files("#file", clip)
    await page.click("#go")
    await recognized(page)
    run = page.locator(".run")
    await expect(run.locator(".asked")).to_have_text("Thorough, 0.18 GFLOPs")
    await unfolded(page)
    await expect(run.locator(".verdict")).to_contain_text("exhausted Every step was taken")
    await expect(run.locator(".verdict")).to_contain_text("100 % of the full price")
    await expect(
        run.get_by_text("0.18 of the 0.18 GFLOPs that all steps cost; budget 0.18 in the mean")
    ).to_be_visible()
    await expect(run.locator(".notice")).to_contain_text("untrained")
    labels = run.locator(".labels li")
    await expect(labels).to_have_count(3)
    assert await labels.locator("span").all_inner_texts() == [one.label for one in answer.predictions]
    shares = await labels.locator("i").evaluate_all("bars => bars.map((bar) => parseFloat(bar.style.width) / 100)")
    assert shares == pytest.approx([one.score for one in answer.predictions], abs=1e-3)
    entropies = await run.locator("tbody td:nth-child(4)").all_inner_texts()
    assert [float(text) for text in entropies] == pytest.approx(
        [step.entropy_nats for step in answer.compute.steps], rel=0.01
    )
    await expect(run.get_by_role("img", name="Entropy in nats")).to_be_visible()


async def test_the_video_plays_while_the_answer_unfolds(served: Served, open_page: OpenPage, clip: Path) -> None:
    page = await open_page(served)
    await page.set_input_files("#file", clip)
    await page.click("#go")
    await recognized(page)
    await expect(page.locator("video")).to_have_js_property("paused", False)


BOUNDS = """async (video, {seconds, colour}) => {
  video.pause();
  if (video.currentTime !== seconds) {
    const there = new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true }));
    video.currentTime = seconds;
    await there;
  }
  for (let i = 0; i < 3; i += 1) await new Promise(requestAnimationFrame);
  const canvas = video.parentElement.querySelector("canvas");
  const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const [left, top, right, bottom] = [[], [], [], []];
  let bounds = null;
  for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) {
    const at = 4 * (y * width + x);
    if (data[at + 3] < 250 || colour.some((part, i) => Math.abs(part - data[at + i]) > 3)) continue;
    bounds = bounds
      ? [Math.min(bounds[0], x), Math.min(bounds[1], y), Math.max(bounds[2], x + 1), Math.max(bounds[3], y + 1)]
      : [x, y, x + 1, y + 1];
  }
  return bounds && [bounds[0] / width, bounds[1] / height, bounds[2] / width, bounds[3] / height];
}"""
COLOURS = {1: (0xF5, 0x9E, 0x0B), 2: (0x0E, 0xA5, 0xE9)}


async def drawn(page: Page, step: int, seconds: float) -> list[float] | None:
    """(left, top, right, bottom) of what is drawn in the step's colour at that time of the video, as shares of it."""
    bounds: list[float] | None = await page.locator("video").evaluate(
        BOUNDS, {"seconds": seconds, "colour": COLOURS[step]}
    )
    return bounds


async def test_cubes_are_drawn_at_their_place_and_time(served: Served, open_page: OpenPage, clip: Path) -> None:
    with Client(served.url) as fovea:
        _, first, second = fovea.recognize(clip).compute.steps
    page = await open_page(served)
    await page.set_input_files("#file", clip)
    await page.click("#go")
    await recognized(page)
    for step, other in ((first, second), (second, first)):
        assert step.cube is not None
        time_s, box = step.cube.pts_s[0], step.cube.box
        bounds = await drawn(page, step.step, time_s)
        assert bounds == pytest.approx([box.x, box.y, box.x + box.w, box.y + box.h], abs=0.02)
        assert await drawn(page, other.step, time_s) is None, "the other cube is not to be seen now"
    assert [await drawn(page, step, 3.9) for step in (1, 2)] == [None, None], "after both"


async def test_cubes_of_one_time_have_lanes_of_their_own_below_the_video(
    served: Served, open_page: OpenPage, clip: Path
) -> None:
    async def marks(of: Served) -> list[FloatRect]:
        page = await open_page(of)
        await page.set_input_files("#file", clip)
        await page.click("#go")
        await recognized(page)
        found = [await mark.bounding_box() for mark in await page.locator(".run .marks i").all()]
        return [box for box in found if box is not None]

    with serving(Lingering()) as overlapping:
        upper, lower = await marks(overlapping)
    assert upper["x"] < lower["x"] + lower["width"]
    assert lower["x"] < upper["x"] + upper["width"]
    assert upper["y"] + upper["height"] <= lower["y"] + 0.5
    first, second = await marks(served)  # apart in time: as high as the line
    assert first["y"] == second["y"]
    assert first["height"] == second["height"] >= 1.9 * upper["height"]


async def test_a_step_chosen_again_shows_the_answer_as_it_stood_and_the_video_at_its_cube(
    served: Served, open_page: OpenPage, clip: Path
) -> None:
    page = await open_page(served)
    await page.set_input_files("#file", clip)
    await page.click("#go")
    await recognized(page)
    await unfolded(page)
    await expect(page.get_by_role("button", name="Show step 2")).to_have_attribute("aria-pressed", "true")
    await page.get_by_role("button", name="Show step 1").click()
    await expect(page.get_by_role("button", name="Show step 1")).to_have_attribute("aria-pressed", "true")
    await expect(page.get_by_text("0.15 of the 0.18 GFLOPs")).to_be_visible()
    with Client(served.url) as fovea:
        _, first, _ = fovea.recognize(clip).compute.steps
    assert first.cube is not None
    await expect(page.locator("video")).to_have_js_property("currentTime", first.cube.pts_s[0])


async def test_the_same_video_at_another_budget_stands_beside_it(
    served: Served, open_page: OpenPage, clip: Path
) -> None:
    page = await open_page(served)
    await page.set_input_files("#file", clip)
    await page.click("#go")
    await recognized(page)
    await page.locator("#budget-slider").fill("0.12")
    await expect(page.locator("#budget")).to_have_value("0.12")
    await page.click("#go")
    await recognized(page, 2)
    assert await page.locator(".run .asked").all_inner_texts() == ["0.12 GFLOPs", "Thorough, 0.18 GFLOPs"]
    await unfolded(page)
    await expect(page.locator(".run").first.locator(".verdict")).to_contain_text("budget As far as the thresholds")
    await expect(page.locator(".run").first.get_by_text("0.1 of the 0.18 GFLOPs")).to_be_visible()
    await page.fill("#ceiling", "0.16")
    await page.fill("#budget", "0.18")
    await page.click("#go")
    await expect(page.locator(".run").first.locator(".verdict")).to_contain_text("one more step would pass 0.16 GFLOPs")
    await expect(page.locator(".run")).to_have_count(2)


class SureState(TinyState):
    entropy_nats = 0.5


class Sure(TinyRecognizer):
    def focus(self, states: Sequence[TinyState]) -> list[TinyState]:
        return [SureState(state.step, state.mean_C) for state in super().focus(states)]


async def test_a_threshold_is_told_and_drawn_at_its_own_step(open_page: OpenPage, clip: Path) -> None:
    with serving(models=[tiny_model(Sure(), thresholds=(-1.0, 0.6))]) as served:  # the glance's is never met
        page = await open_page(served)
        await page.set_input_files("#file", clip)
        await page.click("#go")
        await recognized(page)
        await expect(page.locator(".verdict")).to_contain_text("entropy 0.5 is at or below its threshold 0.6")
        (left,) = [float(await dash.get_attribute("x1") or 0) for dash in await page.locator("line.threshold").all()]
        glance, cube = [float(await dot.get_attribute("cx") or 0) for dot in await page.locator("circle.taken").all()]
        assert glance < left < cube


@pytest.mark.parametrize(
    ("threshold", "offset", "compared", "num_steps"),
    [(-0.2, 0.8, "≤ 0.6", 2), (0.6, -0.2, "> 0.4", 3)],  # met below 0 by its label; not met, though the shared one is
)
async def test_a_threshold_that_depends_on_the_label_is_told_for_the_likeliest_one(
    open_page: OpenPage, threshold: float, offset: float, compared: str, num_steps: int
) -> None:
    green = cached_clip("green.mp4", pattern=solid(0, 255, 0), seconds=1.0)
    offsets_nats = ((0.0, 0.0, 0.0), (-0.5, offset, 0.9))
    with serving(models=[tiny_model(Sure(), thresholds=(-1.0, threshold), label_offsets_nats=offsets_nats)]) as served:
        told = served.client.get("/v1/models/tiny").json()["thresholds"]
        assert told["entropy_nats"] == [-1.0, threshold]
        assert told["label_offsets_nats"] == [[0.0] * 3, [-0.5, offset, 0.9]]
        page = await open_page(served)
        await page.set_input_files("#file", green)
        await page.click("#go")
        await recognized(page)
        rows = page.locator(".run tbody tr")
        await expect(rows).to_have_count(num_steps)
        await unfolded(page)
        await expect(rows.nth(0)).not_to_contain_text("-1")
        await expect(rows.nth(1)).to_contain_text(compared)
        if num_steps == 2:
            await expect(page.locator(".verdict")).to_contain_text("entropy 0.5 is at or below its threshold 0.6")


async def test_a_trained_model_s_budget_lies_on_its_measured_curve(open_page: OpenPage) -> None:
    frontier = ((100_000_000.0, 0.61), (140_000_000.0, 0.74), (175_000_000.0, 0.79))
    with serving(models=[tiny_model(frontier=frontier)]) as served:
        page = await open_page(served)
        await expect(
            page.get_by_role("img", name="Accuracy from 61 % to 79 % between 0.1 and 0.18 GFLOPs")
        ).to_be_visible()
        told = page.locator("#budget-told")
        await expect(told).to_contain_text("75 % right in places that it never saw, at 0.18 GFLOPs in the mean")
        await expect(told).to_contain_text("validation videos: 79 % right at 0.175 GFLOPs")
        here = page.locator("#curve .here")
        right = float(await here.get_attribute("cx") or 0)
        await page.locator("#budget-slider").fill("0.15")
        await expect(told).to_contain_text("validation videos: 74 % right at 0.14 GFLOPs")
        assert float(await here.get_attribute("cx") or 0) < right


async def test_an_untrained_model_shows_its_prices_and_no_accuracy(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    await expect(page.get_by_role("img", name="Prices of 3 steps, from 0.1 to 0.18 GFLOPs")).to_be_visible()
    await expect(page.locator("#budget-told")).to_contain_text("no accuracy to show")


async def test_of_several_models_one_is_chosen_with_its_own_prices(open_page: OpenPage, clip: Path) -> None:
    with serving(models=[tiny_model(), tiny_model(name="other", frontier=((1e8, 0.5),))]) as served:
        page = await open_page(served)
        await page.get_by_label("Model").select_option("other")
        await expect(page.locator("#budget-told")).to_contain_text("50 % right")
        await page.set_input_files("#file", clip)
        await page.click("#go")
        await recognized(page)
        await expect(page.locator(".model")).to_have_text("other")


async def test_a_clip_that_the_server_offers_is_one_press_away(open_page: OpenPage, clip: Path, tmp_path: Path) -> None:
    shutil.copy(clip, tmp_path / "a clip & more.mp4")
    with serving(playground_clips=tmp_path) as served:
        page = await open_page(served)
        await page.get_by_role("button", name="a clip & more.mp4").click()
        await expect(page.locator("#file-told")).to_contain_text("a clip & more.mp4")
        await recognized(page)


async def test_stop_cancels_the_work(open_page: OpenPage, clip: Path) -> None:
    gate = Gate("focus")
    with serving(TinyRecognizer(gate)) as served:
        page = await open_page(served)
        await page.set_input_files("#file", clip)
        await page.click("#go")
        await expect(page.locator(".run tbody tr")).to_have_count(1)
        await page.click("#go")
        await expect(page.locator(".verdict")).to_have_text("Broken off.")
        await expect(page.locator("#problem")).to_be_empty()
        await asyncio.to_thread(served.wait_for_metric, 1, "fovea_requests_total", model="tiny", outcome="cancelled")
        gate.open()
