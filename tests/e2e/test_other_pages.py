"""What pages of other sites, and our own documentation page, can do in a real browser."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from tests.browser import PATIENCE_MS, chromium
from tests.clips import cached_clip, solid
from tests.serving import Served

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]

STRANGER = "http://stranger.example"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


async def strange_page(browser: Browser) -> Page:
    """A page of another site; no request leaves this machine."""

    async def answer(route: Route) -> None:
        await route.fulfill(status=200, content_type="text/html", body="<!doctype html><title>stranger</title>")

    page = await browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.route(f"{STRANGER}/**", answer)
    await page.goto(f"{STRANGER}/")
    return page


async def asked(page: Page, url: str, **init: object) -> str:
    """What `fetch` gave: a status, "opaque" where the page may not know, "refused" where the browser stopped it."""
    script = """async ([url, init]) => {
        try { const answer = await fetch(url, init); return answer.type === "opaque" ? "opaque" : `${answer.status}`; }
        catch (error) { return "refused"; }
    }"""
    told: str = await page.evaluate(script, [url, init])
    return told


async def test_a_strange_page_creates_no_stream_and_recognises_nothing(served: Served, browser: Browser) -> None:
    page = await strange_page(browser)
    body = json.dumps({"url": "rtsp://10.0.0.1/cam"})
    before = served.metric("fovea_requests_total", model="none", outcome="cancelled")
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": content_type}
        simple = await asked(
            page, f"{served.url}/v1/streams", method="POST", mode="no-cors", headers=headers, body=body
        )
        assert simple in {"opaque", "refused"}
    declared = {"Content-Type": "application/json"}
    assert await asked(page, f"{served.url}/v1/streams", method="POST", headers=declared, body=body) == "refused"
    await page.evaluate(
        """async (url) => { const form = new FormData(); form.append("video", new Blob(["x"]), "a.mp4");
        try { await fetch(url, { method: "POST", mode: "no-cors", body: form }); } catch (error) {} }""",
        f"{served.url}/v1/recognitions",
    )
    assert served.client.get("/v1/streams").json()["streams"] == []
    for outcome in ("ok", "invalid", "cancelled"):
        assert served.metric("fovea_requests_total", model="tiny", outcome=outcome) == 0
    assert served.metric("fovea_requests_total", model="none", outcome="cancelled") == before
    assert served.metric("fovea_decode_seconds_count") == 0
    await page.close()


async def test_a_strange_page_reads_no_answer(served: Served, browser: Browser) -> None:
    page = await strange_page(browser)
    assert await asked(page, f"{served.url}/v1/models") == "refused"
    await page.close()


async def test_execute_on_the_documentation_page_gets_an_answer(served: Served, browser: Browser) -> None:
    page = await browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(f"{served.url}/docs")
    block = page.locator("#operations-recognitions-recognize_v1_recognitions_post")
    await block.locator(".opblock-summary").click()
    await block.get_by_role("button", name="Try it out").click()
    clip: Path = cached_clip("red.mp4", pattern=solid(220, 20, 20), seconds=1.0)
    await block.locator("input[type=file]").set_input_files(clip)
    await block.get_by_role("button", name="Execute").click()
    status = block.locator(".live-responses-table .response-col_status").last
    await expect(status).not_to_be_empty()
    told = await block.locator(".live-responses-table").inner_text()
    assert (await status.inner_text()).strip() == "200", told
    await page.close()
