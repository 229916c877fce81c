"""Pictures of the playground for the README and for people to look at: `python -m tools.pictures [FOLDER]`.

Serves what `make run` would serve and shows it a clip that comes with the page, which is drawn: nobody's footage is
published. FOLDER: docs/pictures.
"""

import asyncio
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, Page, expect

from service.settings import Settings
from service.wiring.recognising import load_models
from tests.browser import PATIENCE_MS, chromium
from tests.serving import serving


@dataclass(frozen=True)
class Look:
    """A picture to take."""

    name: str
    scheme: Literal["light", "dark"]
    width: int
    height: int


PHONE_PX = 600  # no phone is wider
LOOKS = (Look("playground", "light", 1240, 860), Look("dark", "dark", 1240, 860), Look("phone", "light", 390, 844))
CLIP = "Two people meet"  # drawn by tools/example_clips.py


async def take_pictures(url: str, folder: Path) -> list[Path]:
    """One PNG for each look, of two answers about the same clip of the page's own; of one on a phone."""
    async with chromium() as browser:
        return [await _picture(browser, url, look, folder) for look in LOOKS]


async def _picture(browser: Browser, url: str, look: Look, folder: Path) -> Path:
    page = await browser.new_page(
        viewport={"width": look.width, "height": look.height}, color_scheme=look.scheme, reduced_motion="reduce"
    )
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(url)
    await expect(page.locator("#budget-told")).not_to_be_empty(timeout=PATIENCE_MS)
    await page.locator("#effort label").last.click()
    await page.get_by_role("button", name=CLIP).click()
    await _answered(page, 1)
    if look.width > PHONE_PX:  # beside it, the same at the least price
        await page.locator("#effort label").first.click()
        await page.click("#go")
        await _answered(page, 2)
    await _to_the_cubes(page)
    if look.width > PHONE_PX:
        await page.evaluate("window.scrollTo(0, 0)")
    else:
        await page.locator(".run").evaluate("run => run.scrollIntoView()")
    await page.wait_for_timeout(300)  # the canvas is drawn with the next frame
    out = folder / f"{look.name}.png"
    await page.screenshot(path=out)
    await page.close()
    return out


async def _answered(page: Page, count: int) -> None:
    await expect(page.locator(".reason")).to_have_count(count, timeout=PATIENCE_MS)
    await expect(page.locator("#go")).to_have_text("Recognise", timeout=PATIENCE_MS)


async def _to_the_cubes(page: Page) -> None:
    """Both videos to their last cube, so that there is something to see on them."""
    for run in await page.locator(".run").all():
        await run.locator(".how > summary").click()
        last = run.locator(".step").last
        await last.click()
        await expect(last).to_have_attribute("aria-pressed", "true")
        await run.locator("video").evaluate(
            "(video) => new Promise((done) => (video.seeking ? video.onseeked = done : done()))"
        )
        await run.locator(".how > summary").click()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings.read()
    with serving(models=load_models(settings), decode_children=1) as served:
        for path in asyncio.run(take_pictures(served.url, folder)):
            print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/pictures"))
