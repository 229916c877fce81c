"""Four seconds from a webcam (Chromium's own, which shows a green disc) are recorded, sent and answered."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, expect

from tests.browser import chromium
from tests.e2e.playground.conftest import OpenPage, recognized
from tests.serving import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as browser:
        yield browser


async def test_a_webcam_is_recorded_on_a_press_and_answered(open_page: OpenPage) -> None:
    with serving() as served:
        page = await open_page(served)
        posted: list[str] = []
        page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
        await page.get_by_role("button", name="Record with the webcam").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("Nothing is sent before you have recorded")
        assert (await Axe().run(page)).violations_count == 0
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(dialog).to_have_count(0)
        assert posted == []
        await page.get_by_role("button", name="Record with the webcam").click()
        await dialog.get_by_role("button", name="Record 4 seconds").click()
        await expect(dialog).to_contain_text("s left")
        await recognized(page)
        await expect(page.locator("#file-told")).to_contain_text("webcam.webm")
        await expect(page.locator(".said")).to_contain_text("green")
        await expect(dialog).to_have_count(0)


async def test_a_browser_that_cannot_record_offers_no_webcam(open_page: OpenPage) -> None:
    with serving() as served:
        page = await open_page(served)
        await page.add_init_script("delete window.MediaRecorder")
        await page.reload()
        await expect(page.locator("#budget-told")).not_to_be_empty()
        await expect(page.locator("#webcam")).to_be_hidden()
