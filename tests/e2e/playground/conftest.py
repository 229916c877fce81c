"""A real Chromium on the playground. One browser for the tests of a file; each test gets a page of its own.

Playwright's async API: the sync one would keep its event loop running under the other tests. All of a file's tests and
fixtures share a loop, so the files say `pytestmark = pytest.mark.asyncio(loop_scope="module")`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from tests.browser import PATIENCE_MS, chromium
from tests.serving import Served

OpenPage = Callable[..., Awaitable[Page]]

expect.set_options(timeout=PATIENCE_MS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """`open_page(served)`: the playground, ready for a video, its numbers unfolded. At the end, the promises that
    hold for every page are checked: no error in its scripts, nothing that its policy forbids, no request to another
    origin."""
    faults: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):  # a refusal is no fault
            faults.append(message.text)

    async with AsyncExitStack() as stack:

        async def opened(served: Served | str, *, path: str = "/", **options: object) -> Page:
            url = served if isinstance(served, str) else served.url
            context = await browser.new_context(**{"reduced_motion": "reduce"} | options)  # type: ignore[arg-type]
            stack.push_async_callback(context.close)
            context.set_default_timeout(PATIENCE_MS)
            page = await context.new_page()
            page.on("console", note)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("request", lambda one: None if one.url.startswith((url, "blob:")) else faults.append(one.url))
            await page.goto(url + path)
            if path == "/":
                await expect(page.locator("#budget-told")).not_to_be_empty()
                await page.get_by_text("Fine-tune").click()
            return page

        yield opened
    assert faults == []


async def unfolded(page: Page) -> None:
    """Show how every answer on the page was come to."""
    for details in await page.locator(".how").all():
        if await details.get_attribute("open") is None:
            await details.locator("summary").click()


async def recognized(page: Page, count: int = 1) -> None:
    """Until so many answers are complete, and another can be asked for."""
    await expect(page.locator(".reason")).to_have_count(count)
    await expect(page.locator("#go")).to_have_text("Recognise")
