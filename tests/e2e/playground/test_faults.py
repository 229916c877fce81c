"""What goes wrong is said on the page, in the service's own words where it has any; what came before stands."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
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


def unplayable(*, with_audio: bool = False) -> Path:
    """MPEG-4 part 2, left half green, right half blue; 16 to 9. Chromium plays its sound alone, if there is one."""
    name = "old_with_sound.mp4" if with_audio else "old.avi"
    return cached_clip(name, pattern=halves, codec="mpeg4", seconds=1.0, size=(320, 180), with_audio=with_audio)


def halves(number: int, width: int, height: int) -> NDArray[np.uint8]:
    frame_HWC = np.zeros((height, width, 3), np.uint8)
    frame_HWC[:, : width // 2, 1] = 200
    frame_HWC[:, width // 2 :, 2] = 200
    return frame_HWC


COLOURS_OF = """(image) => {
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  return [0.25, 0.75].map((x) => [...pen.getImageData(x * canvas.width, canvas.height / 2, 1, 1).data.slice(0, 3)]);
}"""


@pytest.mark.parametrize("with_audio", [False, True])
async def test_of_a_video_that_the_browser_cannot_play_a_frame_is_shown(
    served: Served, open_page: OpenPage, with_audio: bool
) -> None:
    page = await open_page(served)
    await page.set_input_files("#file", unplayable(with_audio=with_audio))
    async with page.expect_request("**/v1/recognitions?**picture=true") as asked:
        await page.click("#go")
    await asked.value
    await recognized(page)
    await expect(page.get_by_text("This browser cannot play the file, so this is one frame of it")).to_be_visible()
    await expect(page.locator("video")).to_be_hidden()
    frame = page.get_by_role("img", name="A frame of the video, at 0.6 s")
    await expect(frame).to_be_visible()
    left, right = await frame.evaluate(COLOURS_OF)
    assert left == pytest.approx([0, 200, 0], abs=30)
    assert right == pytest.approx([0, 0, 200], abs=30)
    ratio = await frame.evaluate("image => image.clientWidth / image.clientHeight")
    assert ratio == pytest.approx(16 / 9, rel=0.02), "all of the stage, in the video's shape"
    await page.get_by_text("Ask this from code").click()
    assert "picture" not in " ".join(await page.locator(".code pre").all_inner_texts()), "that was for the page alone"


async def test_a_video_that_the_browser_plays_is_asked_about_without_a_picture(
    served: Served, open_page: OpenPage, clip: Path
) -> None:
    page = await open_page(served)
    await page.set_input_files("#file", clip)
    async with page.expect_request("**/v1/recognitions?**") as asked:
        await page.click("#go")
    assert "picture" not in (await asked.value).url
    await recognized(page)
    await expect(page.locator(".stage img")).to_have_count(0)


async def test_the_timeline_of_a_video_that_the_browser_cannot_play_stands_without_it(
    served: Served, open_page: OpenPage
) -> None:
    page = await open_page(served)
    await page.get_by_text("a timeline").click()
    await page.set_input_files("#file", unplayable())
    await page.click("#go")
    await expect(page.locator(".segments li")).to_have_count(1)
    await expect(page.get_by_text("This browser cannot play the file")).to_be_visible()
    await expect(page.locator(".stage")).to_be_hidden()
    await expect(page.locator(".marks i")).to_be_visible()
    await expect(page.get_by_role("button", name="Play")).to_be_hidden()


async def test_without_a_picture_cubes_are_drawn_on_an_empty_frame(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    await page.route(
        "**/v1/recognitions?**", lambda route: route.continue_(url=route.request.url.replace("&picture=true", ""))
    )
    await page.set_input_files("#file", unplayable())
    await page.click("#go")
    await recognized(page)
    await expect(page.get_by_text("drawn on an empty frame")).to_be_visible()
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
