"""The page's camera view follows a real RTSP camera: state, results, frame age; hidden where there are no streams."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, Route, expect

from tests.cameras import Camera, camera
from tests.e2e.playground.conftest import OpenPage
from tests.e2e.streams.conftest import LOOPBACK, footage
from tests.keys import key_file
from tests.serving import Served, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def watching() -> Iterator[Served]:
    with serving(stream_allowed_networks=LOOPBACK, stream_backoff_cap_s=1.0) as service:
        yield service


@pytest.fixture
def playing() -> Iterator[Camera]:
    with camera(footage()) as playing:
        yield playing


async def subscribed(page: Page, playing: Camera, credentials: str = "") -> None:
    await page.get_by_role("link", name="Cameras").click()
    await page.get_by_label("Address").fill(playing.url(credentials=credentials))
    await page.get_by_label("Window", exact=True).fill("1")
    await page.get_by_label("Every", exact=True).fill("0.25")
    await page.get_by_role("button", name="Subscribe").click()


async def test_a_subscription_is_followed_live(watching: Served, open_page: OpenPage, playing: Camera) -> None:
    page = await open_page(watching)
    await subscribed(page, playing, credentials="user:secret")
    followed = page.locator("#followed")
    await expect(followed.locator("header .state")).to_have_text("live")
    await expect(followed.locator("tbody tr").nth(2)).to_be_visible()
    await expect(followed.locator(".age")).to_contain_text("s old")
    await expect(followed.locator(".labels li")).to_have_count(3)
    await expect(followed.locator("tbody tr").first).to_contain_text("step 2")
    assert "secret" not in await page.content()
    await expect(page.get_by_label("Address")).to_have_value("")
    await followed.get_by_role("button", name="Unsubscribe").click()
    await expect(followed.locator("header .state")).to_have_text("deleted")
    await expect(page.locator("#streams-told")).to_have_text("None yet.")


async def test_a_camera_that_goes_away_and_comes_back_is_told(
    watching: Served, open_page: OpenPage, playing: Camera
) -> None:
    page = await open_page(watching)
    await subscribed(page, playing)
    state = page.locator("#followed header .state")
    await expect(state).to_have_text("live")
    await asyncio.to_thread(playing.kill)
    await expect(state).to_have_text("reconnecting")
    await expect(page.locator("#followed .told").first).to_contain_text("refused: ")
    await expect(page.locator("#camera-spoken")).to_contain_text("reconnecting")
    await asyncio.to_thread(playing.restart)
    await expect(state).to_have_text("live")
    await page.locator("#followed").get_by_role("button", name="Unsubscribe").click()
    await expect(state).to_have_text("deleted")


async def test_a_camera_of_a_service_with_keys_is_followed_with_the_key(
    open_page: OpenPage, playing: Camera, tmp_path: Path
) -> None:
    secrets = key_file(tmp_path / "keys.json", desk={"scopes": ["recognize", "streams"]})
    with serving(stream_allowed_networks=LOOPBACK, api_keys_file=tmp_path / "keys.json") as served:
        page = await open_page(served, path="/#video")
        await page.get_by_label("Key", exact=True).fill(secrets["desk"])
        await page.get_by_role("button", name="Use it").click()
        await subscribed(page, playing)
        await expect(page.locator("#followed header .state")).to_have_text("live")
        await expect(page.locator("#followed tbody tr").first).to_be_visible()


async def test_an_address_that_cannot_be_gets_the_service_s_words(watching: Served, open_page: OpenPage) -> None:
    problem = watching.client.post(
        "/v1/streams", json={"url": "http://example.org/", "window_s": 4, "stride_s": 1}
    ).json()
    page = await open_page(watching)
    await page.get_by_role("link", name="Cameras").click()
    await page.get_by_label("Address").fill("http://example.org/")
    await page.get_by_role("button", name="Subscribe").click()
    await expect(page.locator("#camera-problem p")).to_have_text(problem["detail"])
    await page.get_by_label("Address").fill("rtsp://127.0.0.1/cam")
    await page.get_by_label("Window", exact=True).fill("long")
    await page.get_by_role("button", name="Subscribe").click()
    await expect(page.locator("#camera-problem p")).to_contain_text("window_s")


@pytest.mark.parametrize(
    "look", [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"viewport": {"width": 360, "height": 740}}]
)
async def test_axe_finds_no_fault_while_a_camera_is_followed(
    watching: Served, open_page: OpenPage, playing: Camera, look: dict[str, Any]
) -> None:
    page = await open_page(watching, **look)
    await subscribed(page, playing)
    await expect(page.locator("#followed tbody tr").first).to_be_visible()
    found = (await Axe().run(page)).response["violations"]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found] == []
    widths = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]
    await page.locator("#followed").get_by_role("button", name="Unsubscribe").click()
    await expect(page.locator("#followed header .state")).to_have_text("deleted")


async def test_a_service_without_streams_shows_no_camera_view(watching: Served, open_page: OpenPage) -> None:
    page = await open_page(watching)

    async def not_found(route: Route) -> None:
        await route.fulfill(
            status=404, content_type="application/problem+json", body='{"title":"Not Found","status":404}'
        )

    await page.route("**/v1/streams", not_found)
    await page.goto(watching.url + "/#cameras")
    await page.reload()
    await expect(page.locator("#budget-told")).not_to_be_empty()
    await expect(page.get_by_role("link", name="Cameras")).to_be_hidden()
    await expect(page.locator("#view-video")).to_be_visible()
    await expect(page.locator("#view-cameras")).to_be_hidden()
