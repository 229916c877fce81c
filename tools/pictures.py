"""Pictures of the playground for the README and for people to look at: `python -m tools.pictures [FOLDER]`.

Serves what `make run` would serve and shows it a synthetic clip: nobody's footage is published. FOLDER: docs/pictures.
"""

import asyncio
import logging
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Browser, Page, expect

from service.settings import Settings
from service.wiring.recognising import load_models
from tests.browser import PATIENCE_MS, chromium
from tests.clips import write_clip
from tests.serving import serving


@dataclass(frozen=True)
class Look:
    """A picture to take."""

    name: str
    scheme: Literal["light", "dark"]
    width: int
    height: int


LOOKS = (Look("playground", "light", 1240, 980), Look("dark", "dark", 1240, 800), Look("phone", "light", 390, 844))
FIRST_SHARE, SECOND_SHARE = 1.0, 0.1  # of the way from the least price to the full one


def bouncing_ball(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """A ball bounces across a meadow, from left to right in 100 frames."""
    rows, columns = np.mgrid[:height, :width]
    horizon = 0.62 * height
    sky = np.stack([120 + 90 * rows / horizon, 170 + 50 * rows / horizon, np.full(rows.shape, 235)], axis=2)
    stripes = 18 * ((columns / width * 12 + (rows - horizon) / height * 6).astype(int) % 2)
    grass = np.stack([80 + stripes, 140 + stripes, 70 + stripes / 2], axis=2)
    frame_HWC = np.where((rows > horizon)[..., None], grass, sky)
    along = (number % 100) / 100
    x, ground, radius = (0.08 + 0.84 * along) * width, 0.86 * height, 0.09 * height
    y = ground - radius - abs(np.sin(along * 3 * np.pi)) * 0.6 * height * (1 - 0.5 * along)
    shadow = ((columns - x) / (1.2 * radius)) ** 2 + ((rows - ground) / (0.3 * radius)) ** 2 < 1
    frame_HWC[shadow] *= 0.6
    distance = np.hypot(columns - x, rows - y)
    shade = np.clip(1.15 - np.hypot(columns - x + radius / 3, rows - y + radius / 3) / (2 * radius), 0.4, 1)
    ball = distance < radius
    frame_HWC[ball] = (np.array([235, 95, 40]) * shade[..., None])[ball]
    return np.clip(frame_HWC, 0, 255).astype(np.uint8)


async def take_pictures(url: str, folder: Path) -> list[Path]:
    """One PNG for each look, of two answers about the same clip."""
    with tempfile.TemporaryDirectory() as clips:
        clip = write_clip(
            Path(clips) / "bouncing-ball.mp4", pattern=bouncing_ball, size=(640, 360), seconds=4.0, colorspace="ITU601"
        )
        async with chromium() as browser:
            return [await _picture(browser, url, clip, look, folder) for look in LOOKS]


async def _picture(browser: Browser, url: str, clip: Path, look: Look, folder: Path) -> Path:
    page = await browser.new_page(
        viewport={"width": look.width, "height": look.height}, color_scheme=look.scheme, reduced_motion="reduce"
    )
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(url)
    await expect(page.locator("#budget-told")).not_to_be_empty(timeout=PATIENCE_MS)
    await page.set_input_files("#file", clip)
    least, full = [float(await page.get_attribute("#budget-slider", edge) or 0) for edge in ("min", "max")]
    for count, share in enumerate((FIRST_SHARE, SECOND_SHARE), start=1):
        await page.locator("#budget-slider").fill(f"{least + share * (full - least):.4g}")
        await page.click("#go")
        await expect(page.locator(".reason")).to_have_count(count, timeout=PATIENCE_MS)
        await expect(page.locator("#go")).to_have_text("Recognise", timeout=PATIENCE_MS)
    await _to_the_cubes(page)
    out = folder / f"{look.name}.png"
    await page.screenshot(path=out, full_page=look.width < 600)
    await page.close()
    return out


async def _to_the_cubes(page: Page) -> None:
    """Both videos to their last cube, so that there is something to see on them."""
    for run in await page.locator(".run").all():
        last = run.locator(".step").last
        await last.click()
        await expect(last).to_have_attribute("aria-pressed", "true")
        await run.locator("video").evaluate(
            "(video) => new Promise((done) => (video.seeking ? video.onseeked = done : done()))"
        )
    await page.evaluate("window.scrollTo(0, 0)")
    await page.wait_for_timeout(300)  # the canvas is drawn with the next frame


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings.read()
    with serving(models=load_models(settings), decode_children=1) as served:
        for path in asyncio.run(take_pictures(served.url, folder)):
            print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/pictures"))
