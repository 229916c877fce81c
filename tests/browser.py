"""Debian's Chromium, driven by Playwright. Knows no page."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

from tests.conftest import require

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
PATIENCE_MS = 30_000  # for a busy machine; nothing waits as long on an idle one


@asynccontextmanager
async def chromium(*more: str) -> AsyncIterator[Browser]:
    """A browser, started with `more` flags; its test skips where there is none."""
    require(CHROMIUM is not None, "chromium (Debian package `chromium`)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, *more], timeout=2 * PATIENCE_MS
        )
        try:
            yield browser
        finally:
            await browser.close()
