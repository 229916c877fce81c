"""The page of a service with keys asks for one, once, and forgets it when it is told to."""

from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.e2e.playground.conftest import OpenPage, recognized
from tests.keys import key_file
from tests.serving import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_page_asks_for_a_key_once_and_forgets_it_when_told_to(
    tmp_path: Path, open_page: OpenPage, red_video: bytes
) -> None:
    secrets = key_file(tmp_path / "keys.json", desk={"scopes": ["recognize", "streams"]})
    with serving(api_keys_file=tmp_path / "keys.json") as served:
        page = await open_page(served, path="/#video")
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_have_count(1)
        await expect(dialog).to_contain_text("This service asks for a key")
        assert (await Axe().run(page)).violations_count == 0
        await page.get_by_label("Key", exact=True).fill("fovea_wrong")
        await page.get_by_role("button", name="Use it").click()
        await expect(dialog).to_contain_text("not known here")
        await page.get_by_label("Key", exact=True).fill(secrets["desk"])
        await page.keyboard.press("Enter")
        await expect(page.locator("#budget-told")).not_to_be_empty()
        await expect(dialog).to_have_count(0)
        await page.locator("#file").set_input_files({"name": "red.mp4", "mimeType": "video/mp4", "buffer": red_video})
        await page.get_by_role("button", name="Recognise").click()
        await recognized(page)
        await page.reload()
        await expect(page.locator("#budget-told")).not_to_be_empty()
        await expect(dialog).to_have_count(0)
        await page.goto(f"{served.url}/docs")
        await expect(page.get_by_text("/v1/recognitions").first).to_be_visible()
        await page.goto(served.url)
        await page.get_by_role("button", name="Forget the key").click()
        await expect(dialog).to_contain_text("asks for a key")
        await page.get_by_role("button", name="Not now").click()
        await expect(page.locator("#problem")).to_contain_text("A key is needed")
        assert await page.evaluate("localStorage.length") == 0
        assert secrets["desk"] not in await page.content()


async def test_a_service_without_keys_asks_for_none(open_page: OpenPage) -> None:
    with serving() as served:
        page = await open_page(served)
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.get_by_role("button", name="Forget the key")).to_be_hidden()
