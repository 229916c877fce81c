"""The playground for everyone: keyboard, screen reader, dark rooms, phones, thin lines, no internet at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.clips import cached_clip
from tests.e2e.playground.conftest import OpenPage, recognized, unfolded
from tests.serving import Served, serving
from tests.tiny import tiny_model

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE = {"width": 360, "height": 740}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light"},
}
MAX_BYTES = 90_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    clips = tmp_path_factory.mktemp("clips")
    (clips / "offered.mp4").touch()
    measured = tiny_model(name="measured", frontier=((1e8, 0.6), (1.6e8, 0.8)))
    with serving(models=[tiny_model(), measured], playground_clips=clips) as service:
        yield service


@pytest.fixture(scope="module")
def clip() -> Path:
    return cached_clip("square.mp4", seconds=2.0)


async def faults(page: Page) -> str:
    """What axe-core finds, with the elements it finds it at."""
    found = (await Axe().run(page)).response["violations"]
    return "\n".join(
        f"{one['id']} ({one['impact']}): {one['help']}: {[node['html'][:120] for node in one['nodes']]}"
        for one in found
    )


@pytest.mark.parametrize("look", LOOKS)
async def test_axe_finds_no_fault_in_any_state_of_the_page(
    served: Served, open_page: OpenPage, clip: Path, tmp_path: Path, look: str
) -> None:
    page = await open_page(served, **LOOKS[look])
    assert await faults(page) == "", "before a video"
    await page.set_input_files("#file", clip)
    await page.click("#go")
    await recognized(page)
    await page.fill("#budget", "0.12")
    await page.get_by_label("Ceiling").fill("0.15")
    await page.click("#go")
    await recognized(page, 2)
    await unfolded(page)
    await page.get_by_text("Ask this from code").first.click()
    assert await faults(page) == "", "two answers side by side"
    await page.get_by_label("Model").select_option("measured")
    await expect(page.locator("#budget-told")).to_contain_text("right at")
    await page.fill("#budget", "none")
    await expect(page.locator("#budget")).to_have_attribute("aria-invalid", "true")
    await page.click("#go")
    await expect(page.get_by_role("alert")).to_be_visible()
    assert await faults(page) == "", "a problem, and a curve"
    (tmp_path / "old.avi").write_bytes(cached_clip("old.avi", codec="mpeg4", seconds=1.0).read_bytes())
    await page.set_input_files("#file", tmp_path / "old.avi")
    await page.fill("#budget", "0.18")
    await page.click("#go")
    await recognized(page)
    assert await faults(page) == "", "a video that does not play"


@pytest.mark.parametrize("path", ["/problems", "/problems/budget-too-small"])
@pytest.mark.parametrize("look", LOOKS)
async def test_axe_finds_no_fault_in_the_problems_pages(
    served: Served, open_page: OpenPage, look: str, path: str
) -> None:
    assert await faults(await open_page(served, path=path, **LOOKS[look])) == ""


async def test_axe_would_have_found_one(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    await page.evaluate("document.querySelector('label[for=budget]').remove()")
    assert "label (critical)" in await faults(page)


async def test_everything_can_be_done_from_the_keyboard(served: Served, open_page: OpenPage, clip: Path) -> None:
    page = await open_page(served)
    await page.set_input_files("#file", clip)  # the browser's own dialogue
    await page.focus("#file")
    visited = []
    for _ in range(14):
        await page.keyboard.press("Tab")
        visited.append(
            await page.evaluate(
                "document.activeElement.id || document.activeElement.textContent || document.activeElement.value"
            )
        )
    examples = ["Two people meet", "A serve", "A ball, nobody there"]
    assert visited[:5] == ["webcam", *examples, "offered.mp4"]
    assert visited[5:] == ["what", "0.18", "go", "Fine-tune", "model", "budget-slider", "budget", "ceiling", "share"]
    await page.focus("#budget-slider")
    await page.keyboard.press("Home")
    await expect(page.locator("#budget")).to_have_value("0.1")
    await page.focus("#ceiling")
    await page.keyboard.press("Enter")
    await recognized(page)
    await page.focus(".how > summary")
    await page.keyboard.press("Enter")
    await page.focus(".step")
    await page.keyboard.press("Space")
    await expect(page.locator(".step").first).to_have_attribute("aria-pressed", "true")


async def test_each_step_is_said_to_a_screen_reader(served: Served, open_page: OpenPage, clip: Path) -> None:
    page = await open_page(served)
    await page.evaluate(
        """() => {
          window.said = [];
          const spoken = document.getElementById("spoken");
          new MutationObserver(() => window.said.push(spoken.textContent)).observe(spoken, { childList: true });
        }"""
    )
    await page.set_input_files("#file", clip)
    await page.click("#go")
    await recognized(page)
    said = await page.evaluate("window.said")
    assert [sentence.split(":")[0] for sentence in said[:3]] == ["Glance", "Cube 1", "Cube 2"]
    assert "Every step was taken" in said[3]
    assert "Spent 0.18 GFLOPs" in said[3]


async def test_nothing_reaches_beyond_a_phone_s_edge(served: Served, open_page: OpenPage, clip: Path) -> None:
    page = await open_page(served, viewport=PHONE)
    await page.set_input_files("#file", clip)
    await page.click("#go")
    await recognized(page)
    widths = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]
    assert await page.locator("#go").evaluate("button => button.clientHeight") >= 44, "as large as a finger"


async def test_the_whole_page_weighs_less_than_a_small_picture(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    fetched: list[str] = await page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    paths = {url.removeprefix(served.url) for url in fetched}
    assert {"/web/style.css", "/web/main.js", "/web/player.js", "/web/clips/serve.webp"} <= paths
    assert not any(path.endswith(".mp4") for path in paths), "a clip comes when it is chosen"
    assert {"/web/timeline.js", "/web/webcam.js"}.isdisjoint(paths), "what may not be wanted comes when it is"
    files = {path: len(served.client.get(path).content) for path in {"/", *paths} if path == "/" or "/web/" in path}
    print(f"the page: {sum(files.values())} bytes in {len(files)} files")
    assert 10_000 < sum(files.values()) < MAX_BYTES


async def test_the_api_s_own_page_works_without_the_internet(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served, path="/docs")
    await page.get_by_text("Recognise what happens in a video").click()
    await expect(page.get_by_text("Try it out")).to_be_visible()
