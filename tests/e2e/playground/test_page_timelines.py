"""A long video on the page: its segments come one by one, lie under the player, and are jumped to."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.async_playwright import Axe
from numpy.typing import NDArray
from playwright.async_api import expect

from models.label_texts import LabelText
from tests.clips import cached_clip
from tests.e2e.playground.conftest import OpenPage
from tests.serving import Served, serving
from tests.tiny import tiny_model

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRONTIER = ((1e8, 0.6), (1.6e8, 0.8))


def red_then_blue(number: int, width: int, height: int) -> NDArray[np.uint8]:
    frame_HWC = np.zeros((height, width, 3), np.uint8)
    frame_HWC[..., 0 if number < 150 else 2] = 220
    return frame_HWC


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(models=[tiny_model(label_texts={"red": LabelText("Red things")}, frontier=FRONTIER)]) as service:
        yield service


@pytest.fixture(scope="module")
def clip() -> Path:
    return cached_clip("red-then-blue.mp4", pattern=red_then_blue, seconds=12.0, size=(160, 120))


@pytest.mark.parametrize("width", [390, 1240])
async def test_segments_lie_under_the_player_and_a_click_goes_there(
    served: Served, open_page: OpenPage, clip: Path, width: int
) -> None:
    page = await open_page(served, viewport={"width": width, "height": 844})
    await page.get_by_text("a timeline").click()
    await expect(page.locator("#budget-hint")).to_have_text("what a second of video may cost")
    await page.set_input_files("#file", clip)
    await page.click("#go")
    await expect(page.locator("#go")).to_have_text("Recognise")
    timeline = page.locator(".timeline")
    await expect(timeline.locator("h2")).to_have_text("2 moments of 2 kinds")
    segments = timeline.locator(".segments button")
    assert [name for name in await segments.locator("strong").all_inner_texts()] == ["Red things", "blue"]
    await expect(timeline.locator(".marks i")).to_have_count(2)
    widths = await timeline.locator(".marks i").evaluate_all("marks => marks.map((one) => parseFloat(one.style.width))")
    assert sum(widths) == pytest.approx(100, abs=2), "they fill the line"
    await segments.last.focus()
    await page.keyboard.press("Enter")
    await expect(segments.last).to_have_attribute("aria-current", "true")
    start = float(await segments.last.get_attribute("data-start") or 0)
    await expect(page.locator("video")).to_have_js_property("currentTime", start)
    assert 4 < start < 8
    assert (await Axe().run(page)).violations_count == 0
    await page.get_by_text("Ask this from code").click()
    await expect(page.locator(".code pre").first).to_contain_text("/v1/timelines?model=tiny&budget_gflops_per_s=0.18")
    await expect(page.locator(".code pre").nth(1)).to_contain_text('client.timeline("red-then-blue.mp4"')
    await expect(page.locator("#history li")).to_contain_text("2 moments of 2 kinds")


async def test_a_timeline_that_cannot_be_gets_the_service_s_words(
    served: Served, open_page: OpenPage, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("this is no video")
    page = await open_page(served)
    await page.get_by_text("a timeline").click()
    await page.set_input_files("#file", tmp_path / "text.mp4")
    await page.click("#go")
    await expect(page.get_by_role("alert").locator("strong")).not_to_be_empty()
    await expect(page.locator(".run")).to_have_count(0)
