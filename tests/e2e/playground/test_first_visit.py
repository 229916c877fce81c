"""From nothing to an answer in one click, in words; settings that travel in a link; what one might do by accident."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from models.label_texts import LabelText
from tests.clips import cached_clip, solid
from tests.e2e.playground.conftest import OpenPage, recognized
from tests.serving import Served, serving
from tests.tiny import knows_red, tiny_model

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = {
    "red": LabelText("Red things", "Something red fills the picture."),
    "blue": LabelText("Blue <b>things</b>"),
}
BUSY = """const asked = fetch;
window.fetch = async (path, init) => {
  const response = await asked(path, init);
  if (!String(path).startsWith("v1/recognitions")) return response;
  const text = await response.text();
  return new Response(text.replace(/"budget_granted_gflops":[0-9.]+/, '"budget_granted_gflops":0.1'), response);
};"""  # a service is rarely busy when a test wants it
FRONTIER = ((1e8, 0.6), (1.6e8, 0.8))


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    named = tiny_model(label_texts=NAMES, frontier=FRONTIER)
    unsure = tiny_model(name="unsure", label_texts=NAMES, frontier=FRONTIER, open_set=knows_red())
    fixed = tiny_model(name="fixed", frontier=((1.8e8, 0.7),))
    fixed.recognizer.step_flops = (180_000_000,)
    fixed.bundle.grid.points = fixed.bundle.grid.points[1:]
    with serving(models=[named, unsure, fixed]) as service:
        yield service


async def with_video(page: Page, colour: tuple[int, int, int]) -> None:
    clip = cached_clip(f"{'-'.join(map(str, colour))}.mp4", pattern=solid(*colour), seconds=1.0)
    await page.set_input_files("#file", clip)
    await page.click("#go")
    await recognized(page)


async def test_the_first_answer_is_one_click_away(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    await page.get_by_role("button", name="A serve").click()
    await recognized(page)
    await expect(page.locator("#file-told")).to_contain_text("serve.mp4")
    await expect(page.locator("video")).to_have_js_property("paused", False)
    await page.get_by_role("button", name="Two people meet").click()
    await expect(page.locator("#file-told")).to_contain_text("handshake.mp4")
    await recognized(page)


async def test_the_answer_is_a_sentence_of_names(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    await with_video(page, (220, 20, 20))
    await expect(page.locator(".said")).to_have_text("Red things, almost certain")
    await expect(page.locator(".effort")).to_have_text("Looked 3 times, spent 0.18 GFLOPs; asked for 0.18 in the mean.")
    assert await page.locator(".labels span").all_inner_texts() == ["Red things", "green", "Blue <b>things</b>"]


async def test_what_is_spent_stands_beside_what_was_asked_for_and_no_other_bound(
    served: Served, open_page: OpenPage
) -> None:
    page = await open_page(served)
    await page.get_by_text("Quick 0.1 GFLOPs").click()
    await page.fill("#ceiling", "0.16")
    await with_video(page, (220, 20, 20))
    await expect(page.locator(".effort")).to_have_text(
        "Looked once, spent 0.1 GFLOPs; asked for 0.1 in the mean, 0.16 at most."
    )


async def test_what_it_does_not_know_is_said_as_such(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    await page.get_by_label("Model").select_option("unsure")
    await expect(page.locator("#knows-told")).to_contain_text("unsure tells 3 things apart")
    await with_video(page, (20, 20, 220))
    await expect(page.locator(".said")).to_have_text("Not one of the things I know")
    await expect(page.locator(".effort")).to_contain_text("Closest: Blue <b>things</b>")


async def test_a_smaller_budget_of_a_busy_service_is_told_beside_its_own_thresholds(
    served: Served, open_page: OpenPage
) -> None:
    page = await open_page(served)
    await page.add_init_script(BUSY)
    await page.reload()
    await expect(page.locator("#budget-told")).not_to_be_empty()
    async with page.expect_response(re.compile(r"/v1/models/.*budget_gflops=0\.1$")) as thresholds:
        await with_video(page, (220, 20, 20))
    assert (await thresholds.value).ok
    await expect(page.locator(".effort")).to_contain_text("The service was busy: the budget was 0.1 GFLOPs.")
    await expect(page.locator(".run tbody tr")).to_have_count(3)


async def test_the_page_says_what_the_model_knows(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    known = page.locator("#knows dl > div")
    await expect(known).to_have_count(3)
    await expect(known.first).to_have_text("Red thingsSomething red fills the picture.")
    await expect(page.locator("#knows-told")).to_contain_text("about 75 % of its answers are right")


async def test_a_budget_is_chosen_in_words_and_typed_numbers_are_no_word(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    await expect(page.get_by_label("Thorough 0.18 GFLOPs")).to_be_checked()
    await page.get_by_text("Quick 0.1 GFLOPs").click()
    await expect(page.locator("#budget")).to_have_value("0.1")
    await page.fill("#budget", "0.12")
    await expect(page.locator("#effort input:checked")).to_have_count(0)


async def test_where_there_is_one_price_there_is_nothing_to_choose(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    await page.get_by_label("Model").select_option("fixed")
    await expect(page.locator("#budget-told")).to_contain_text("One price: 0.18 GFLOPs")
    for control in ("#effort", "#budget-slider", "#curve"):
        await expect(page.locator(control)).to_be_hidden()


async def test_a_link_holds_the_settings_and_no_video(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    await page.get_by_label("Model").select_option("unsure")
    await page.get_by_text("Quick 0.1 GFLOPs").click()
    await page.fill("#ceiling", "0.16")
    await page.get_by_text("a timeline").click()
    await page.get_by_role("button", name="Copy a link").click()
    await expect(page.locator("#shared")).not_to_be_empty()
    link = page.url
    assert link.split("#")[1] == "video&mode=when&model=unsure&budget=0.1&ceiling=0.16"
    other = await open_page(served, path=f"/#{link.split('#')[1]}")
    await expect(other.locator("#budget")).to_have_value("0.1")
    await expect(other.locator("#model")).to_have_value("unsure")
    await expect(other.locator("#ceiling")).to_have_value("0.16")
    await expect(other.get_by_label("a timeline")).to_be_checked()


async def test_a_link_that_cannot_be_is_judged_as_if_it_were_typed(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served, path="/#video&model=gone&budget=lots&mode=never")
    await expect(page.locator("#model")).to_have_value("tiny")
    await expect(page.locator("#budget")).to_have_attribute("aria-invalid", "true")
    await expect(page.locator("#budget-told")).to_contain_text("budget_gflops='lots'")


async def test_the_request_is_there_as_code(served: Served, open_page: OpenPage, tmp_path: Path) -> None:
    page = await open_page(served)
    clip = tmp_path / 'it\'s "mine".mp4'
    clip.write_bytes(cached_clip("red.mp4", pattern=solid(220, 20, 20), seconds=1.0).read_bytes())
    await page.set_input_files("#file", clip)
    await page.fill("#ceiling", "0.16")
    await page.click("#go")
    await recognized(page)
    await page.get_by_text("Ask this from code").click()
    curl, python, answer = await page.locator(".code pre").all_inner_texts()
    asked = f"'{served.url}/v1/recognitions?model=tiny&budget_gflops=0.18&max_gflops=0.16'"
    assert curl == f"curl \\\n  -F 'video=@\"it'\\''s \\\"mine\\\".mp4\"' \\\n  {asked}"
    assert f'fovea.Client("{served.url}")' in python
    assert 'client.recognize("it\'s \\"mine\\".mp4", model="tiny", budget_gflops=0.18, max_gflops=0.16)' in python
    assert json.loads(answer)["display_name"] == "Red things"
    compile(python, "copied", "exec")


async def test_results_are_kept_in_this_browser_until_they_are_cleared(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    await expect(page.locator("#history")).to_be_hidden()
    await with_video(page, (220, 20, 20))
    await page.reload()
    kept = page.locator("#history li")
    await expect(kept).to_have_count(1)
    await expect(kept).to_contain_text(re.compile(r"Red things, almost certain.*220-20-20\.mp4.*0\.18 GFLOPs"))
    await page.get_by_role("button", name="Clear").click()
    await expect(page.locator("#history")).to_be_hidden()
    assert await page.evaluate("localStorage.length") == 0


async def test_the_history_comes_when_nothing_above_it_moves_any_more(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    await with_video(page, (220, 20, 20))
    seen, go = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        seen.set()
        await go.wait()
        await route.continue_()

    await page.route("**/v1/models", late)
    await page.reload()
    await seen.wait()
    clear = page.get_by_role("button", name="Clear")
    await expect(clear).to_be_hidden()
    go.set()
    await clear.wait_for()
    place = await clear.bounding_box()
    await expect(page.locator("#knows")).to_be_visible()
    assert await clear.bounding_box() == place


async def test_what_somebody_else_left_under_our_name_breaks_nothing(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served)
    for left in ('"', "{}", "[[1], null, 3]"):
        await page.evaluate("(left) => localStorage.setItem('fovea.history', left)", left)
        await page.reload()
        await expect(page.locator("#budget-told")).not_to_be_empty()


DROP = """() => {
  const data = new DataTransfer();
  data.items.add(new File(["some bytes"], "beside.mp4", { type: "video/mp4" }));
  const dropped = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data });
  document.querySelector(".answers").dispatchEvent(dropped);
  return dropped.defaultPrevented;
}"""


async def test_a_file_dropped_beside_the_zone_is_taken_and_does_not_leave_the_page(
    served: Served, open_page: OpenPage
) -> None:
    page = await open_page(served)
    assert await page.evaluate(DROP) is True
    await expect(page.locator("#file-told")).to_contain_text("beside.mp4")


@pytest.mark.parametrize("width", [360, 1240])
async def test_a_long_name_stays_in_its_card(open_page: OpenPage, tmp_path: Path, red_video: bytes, width: int) -> None:
    (tmp_path / f"{'a_very_long_name_without_a_break' * 6}.mp4").write_bytes(red_video)
    with serving(playground_clips=tmp_path) as served:
        page = await open_page(served, viewport={"width": width, "height": 800})
        await page.locator("#clips button").click()
        await recognized(page)
        card = await box_of(page, "#ask")
        for inner in ("#clips button", ".drop", "#go", "#budget"):
            one = await box_of(page, inner)
            assert card["x"] <= one["x"], inner
            assert one["x"] + one["width"] <= card["x"] + card["width"], inner
        assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


async def test_text_in_a_drawing_is_as_small_in_one_answer_as_in_two(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served, viewport={"width": 1600, "height": 900})
    await with_video(page, (220, 20, 20))
    await page.get_by_text("How it got there").click()
    size: Any = await page.locator(".chart text").first.evaluate("text => text.getBoundingClientRect().height")
    assert 8 < size < 20


async def test_on_a_phone_the_answer_is_seen_without_scrolling(served: Served, open_page: OpenPage) -> None:
    page = await open_page(served, viewport={"width": 390, "height": 844})
    await page.get_by_role("button", name="A serve").click()
    await recognized(page)
    await expect(page.locator(".said")).to_be_in_viewport(ratio=1)
    await expect(page.locator("video")).to_be_in_viewport(ratio=0.9)


@pytest.mark.parametrize(("scheme", "is_dark"), [("dark", True), ("light", False)])
async def test_the_api_s_page_is_dark_where_the_reader_wants_it(
    served: Served, open_page: OpenPage, scheme: str, is_dark: bool
) -> None:
    page = await open_page(served, path="/docs", color_scheme=scheme)
    title = page.get_by_role("heading", name="recognitions")
    await expect(title).to_be_visible()
    colour = await title.evaluate("title => getComputedStyle(title).color")
    assert (min(map(int, re.findall(r"\d+", colour)[:3])) > 128) is is_dark, "light letters on a dark page"


async def box_of(page: Page, selector: str) -> dict[str, float]:
    box = await page.locator(selector).bounding_box()
    assert box is not None
    return {"x": box["x"], "width": box["width"]}
