"""What goes wrong is said on the page, in the service's own words where it has any; what came before stands."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.cable import cable_to
from tests.clips import cached_clip
from tests.e2e.playground.conftest import OpenPage, recognized
from tests.serving import Served, serving
from tests.tiny import Gate, TinyRecognizer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(max_upload_bytes=2**20) as service:
        yield service


@pytest.fixture(scope="module")
def clip() -> Path:
    return cached_clip("square.mp4", seconds=2.0)


async def test_a_bad_file_gets_the_service_s_own_words(served: Served, open_page: OpenPage, tmp_path: Path) -> None:
    bad = tmp_path / "text.mp4"
    bad.write_text("this is no video")
    problem = served.post(bad.read_bytes()).json()
    page = await open_page(served)
    await page.set_input_files("#file", bad)
    await page.click("#go")
    shown = page.get_by_role("alert")
    await expect(shown.locator("strong")).to_have_text(problem["title"])
    await expect(shown.locator("p")).to_have_text(problem["detail"])
    await shown.get_by_role("link").click()
    await expect(page.get_by_role("heading", name=problem["title"])).to_be_visible()


async def test_a_problem_is_gone_with_the_next_video(
    served: Served, open_page: OpenPage, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.mp4").touch()
    page = await open_page(served)
    await page.set_input_files("#file", tmp_path / "empty.mp4")
    await page.click("#go")
    await expect(page.get_by_role("alert")).to_contain_text("0 bytes came")
    await page.set_input_files("#file", clip)
    await page.click("#go")
    await recognized(page)
    await expect(page.locator("#problem")).to_be_empty()


async def test_a_file_beyond_the_limit_is_refused_before_it_is_sent(
    open_page: OpenPage, served: Served, tmp_path: Path
) -> None:
    (tmp_path / "huge.mp4").write_bytes(bytes(2**20 + 1))
    page = await open_page(served)
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
    await page.set_input_files("#file", tmp_path / "huge.mp4")
    await page.click("#go")
    await expect(page.get_by_role("alert")).to_contain_text("this service takes 1.0 MiB")
    assert posted == []


async def test_without_a_video_the_page_asks_for_one(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    await page.click("#go")
    await expect(page.get_by_role("alert")).to_contain_text("choose a file")
    await expect(page.locator("#file")).to_be_focused()


@pytest.mark.parametrize("typed", ["lots", "0,5", "0.01", "-1", "1e999"])
async def test_a_budget_that_cannot_be_is_told_at_its_field_while_it_is_typed(
    served: Served, open_page: OpenPage, clip: Path, typed: str
) -> None:
    problem = served.client.get("/v1/models/tiny", params={"budget_gflops": typed}).json()
    page = await open_page(served)
    await page.set_input_files("#file", clip)
    await page.fill("#budget", typed)
    await expect(page.locator("#budget-told")).to_have_text(problem["detail"])
    await expect(page.locator("#budget")).to_have_attribute("aria-invalid", "true")
    await page.click("#go")
    await expect(page.get_by_role("alert").locator("p")).to_have_text(problem["detail"])
    await expect(page.locator("#budget")).to_be_focused()
    await expect(page.locator(".run")).to_have_count(0)
    await page.fill("#budget", "0.18")
    await expect(page.locator("#budget")).not_to_have_attribute("aria-invalid", "true")


async def test_a_ceiling_that_cannot_be_gets_the_service_s_words(
    served: Served, open_page: OpenPage, clip: Path
) -> None:
    page = await open_page(served)
    await page.set_input_files("#file", clip)
    await page.fill("#ceiling", "a lot")
    await page.click("#go")
    await expect(page.get_by_role("alert")).to_contain_text("max_gflops='a lot': must be a number")


async def test_a_video_that_the_browser_cannot_play_is_answered_all_the_same(
    served: Served, open_page: OpenPage
) -> None:
    page = await open_page(served)
    await page.set_input_files("#file", cached_clip("old.avi", codec="mpeg4", seconds=1.0, size=(320, 180)))
    await page.click("#go")
    await recognized(page)
    await expect(page.get_by_text("This browser cannot play the file")).to_be_visible()
    await expect(page.locator("video")).to_be_hidden()
    ratio = await page.locator(".stage").evaluate("stage => stage.clientWidth / stage.clientHeight")
    assert ratio == pytest.approx(16 / 9, rel=0.02), "the shape is known from the answer"
    num_inked = await page.locator("canvas").evaluate(
        "(canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)"
        ".data.filter((value, i) => i % 4 === 3 && value > 250).length"
    )
    assert num_inked > 100, "cubes are drawn on the empty frame"


async def test_a_service_that_goes_away_in_mid_answer_is_told_and_what_came_stands(
    open_page: OpenPage, clip: Path
) -> None:
    gate = Gate("focus")
    with serving(TinyRecognizer(gate)) as served:
        async with cable_to(served.port) as (url, cable):
            page = await open_page(url)
            await page.set_input_files("#file", clip)
            await page.click("#go")
            await expect(page.locator(".run tbody tr")).to_have_count(1)
            cable.cut()
            await expect(page.get_by_role("alert")).to_contain_text("went away in mid-answer, after 1 of its steps")
            await expect(page.locator(".verdict")).to_have_text("Broken off.")
            await expect(page.locator(".run tbody tr")).to_have_count(1)
            gate.open()
            await page.click("#go")
            await recognized(page)
            await expect(page.locator("#problem")).to_be_empty()


async def test_a_service_that_is_gone_is_told(open_page: OpenPage, clip: Path) -> None:
    with serving() as served:
        page = await open_page(served)
        await page.set_input_files("#file", clip)
    await page.click("#go")
    await expect(page.get_by_role("alert")).to_contain_text("See whether the service is running")


async def test_while_the_models_load_the_page_says_so(open_page: OpenPage) -> None:
    with serving(load_error=ValueError("no bundle"), ready=False) as served:
        page = await open_page(served, path="/?")
        await expect(page.get_by_role("alert")).to_contain_text("The service is still loading")
