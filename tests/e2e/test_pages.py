"""What a browser gets besides the API: pages under a strict policy, nothing from elsewhere, problems explained."""

import re
from pathlib import Path

import pytest

from fovea.errors import every_kind
from service.api.pages.headers import WEB
from service.settings import Settings, SettingsError
from tests.serving import Served, serving

PAGES = ["/", "/docs", "/problems", "/problems/video-unreadable"]
FILES = sorted(file for file in WEB.iterdir() if file.is_file())


@pytest.mark.parametrize("path", PAGES)
def test_a_page_may_run_load_and_ask_this_service_alone(served: Served, path: str) -> None:
    answer = served.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["style-src"] == ("'self' 'unsafe-inline'" if path == "/docs" else "'self'")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PAGES)
def test_what_a_page_names_is_served_here_by_relative_paths(served: Served, path: str) -> None:
    named = re.findall(r'(?:src|href)="([^"#]+)"', served.client.get(path).text)
    assert named
    for target in named:
        assert not target.startswith(("/", "http")), "the service may stand behind a prefix"
        assert served.client.get(str(served.client.base_url.join(path).join(target))).status_code == 200, target


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_names_another_site_or_carries_inline_code(file: Path) -> None:
    text = file.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(https?:)?//[\w-]+\.\w", text), "an address elsewhere"
    if file.suffix == ".html":
        assert re.findall(r"<script(?![^>]*\bsrc=)", text) == []
        assert re.findall(r"\s(?:style|on\w+)=", text) == []


def test_a_file_is_kept_by_browsers_until_it_changes(served: Served) -> None:
    first = served.client.get("/web/style.css")
    assert first.headers["cache-control"] == "no-cache"
    again = served.client.get("/web/style.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_only_what_lies_in_the_folder_is_served_and_the_metrics_name_no_file(served: Served) -> None:
    for path in ("/web/", "/web/nothing.js", "/web/%2e%2e/settings.py", "/web/..%2fsettings.py"):
        refused = served.client.get(path)
        assert (refused.status_code, refused.headers["content-type"]) == (404, "application/problem+json")
    routes = set(re.findall(r'http_route="([^"]*)"', served.client.get("/metrics").text))
    assert not any("settings" in route or "nothing" in route for route in routes)


@pytest.mark.parametrize("kind", every_kind(), ids=lambda kind: kind.slug)
def test_every_problem_s_type_leads_to_a_page_that_says_what_to_do(served: Served, kind: type) -> None:
    page = served.client.get(f"/problems/{kind.slug}").text
    assert f"<h1>{kind.title}</h1>" in page
    first_words = re.split(r"[`'\"&]", kind.advice)[0]
    assert first_words in page
    assert f'href="problems/{kind.slug}"' in served.client.get("/problems").text


def test_the_router_s_own_problems_have_pages_too(served: Served) -> None:
    for refused in (served.client.get("/nowhere"), served.client.delete("/v1/models")):
        problem = refused.json()
        page = served.client.get(problem["type"])
        assert page.status_code == 200
        assert f"<h1>{problem['title']}</h1>" in page.text
        assert f"Status {refused.status_code}" in page.text


def test_a_problem_nobody_has_is_a_404_that_says_so(served: Served) -> None:
    refused = served.client.get("/problems/<script>")
    assert refused.status_code == 404
    assert refused.headers["content-type"] == "application/problem+json"
    assert "/problems lists them all" in refused.json()["detail"]


def test_the_api_s_description_lists_no_page(served: Served) -> None:
    paths = served.client.get("/openapi.json").json()["paths"]
    assert all(path.startswith(("/v1/", "/livez", "/readyz", "/metrics")) for path in paths)


def test_without_a_folder_of_clips_none_is_offered(served: Served) -> None:
    assert served.client.get("/playground").json() == {"max_upload_bytes": 4 * 2**20, "clips": []}
    assert served.client.get("/playground/clips/red.mp4").status_code == 404


def test_the_videos_of_the_folder_are_offered_and_nothing_else_of_it(red_video: bytes, tmp_path: Path) -> None:
    for name in ("b.mp4", "a.webm", ".hidden.mp4"):
        (tmp_path / name).write_bytes(red_video)
    (tmp_path / "notes.txt").write_text("for us alone")
    (tmp_path / "folder.mp4").mkdir()
    with serving(playground_clips=tmp_path) as served:
        assert served.client.get("/playground").json()["clips"] == ["a.webm", "b.mp4"]
        part = served.client.get("/playground/clips/b.mp4", headers={"Range": "bytes=0-9"})
        assert (part.status_code, part.content) == (206, red_video[:10])
        for name in (".hidden.mp4", "notes.txt", "folder.mp4", "..%2fsettings.py"):
            assert served.client.get(f"/playground/clips/{name}").status_code == 404


def test_a_folder_of_clips_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"FOVEA_PLAYGROUND_CLIPS=.*must be a folder that exists"):
        Settings.read(playground_clips=tmp_path / "gone")
