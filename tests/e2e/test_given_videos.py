"""What `fovea classify` and `fovea timeline` may be given: files, several in one request, URLs for a service."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import cli
from tests.serving import Served, serving
from tests.web_server import said, web_server


@pytest.fixture(scope="module")
def asked() -> Iterator[Served]:
    with serving(url_http=True, url_ports=((1, 65535),), url_allowed_networks=("127.0.0.0/8",)) as service:
        yield service


@pytest.fixture
def video(red_video: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "red.mp4"
    path.write_bytes(red_video)
    return path


def fovea(*arguments: object) -> Result:
    """In this process: starting one for each would take longer than all the rest."""
    return CliRunner().invoke(cli, list(map(str, arguments)))


def test_all_videos_go_into_one_request_where_it_is_asked_for(asked: Served, video: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    before = requests(asked)
    done = fovea("classify", "--json", "--server", asked.url, "--together", video, text, video)
    assert requests(asked) == before + 1
    assert done.exit_code == 1
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == [str(video)] * 2
    assert str(text) in done.stderr
    assert "1 of 3 videos could not be recognised" in done.stderr
    assert fovea("classify", "--server", asked.url, video, video).exit_code == 0
    assert requests(asked) == before + 3


def test_a_url_is_fetched_by_the_service_that_is_asked(asked: Served, red_video: bytes) -> None:
    with web_server({"/red.mp4": said("200 OK", red_video)}) as web:
        url = web.url("/red.mp4")
        (line,) = fovea("classify", "--json", "--server", asked.url, url).stdout.splitlines()
        told = fovea("timeline", "--json", "--label", "red", "--server", asked.url, url).stdout
    assert (json.loads(line)["file"], json.loads(line)["label"]) == (url, "red")
    assert [one["label"] for one in json.loads(told)["segments"]] == ["red"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["classify", "--together", "VIDEO"], "name the service with --server"),
        (["classify", "https://example.org/a.mp4"], "URLs are fetched by a service; say which with --server"),
        (["timeline", "https://example.org/a.mp4"], "URLs are fetched by a service; say which with --server"),
        (["classify", "nowhere.mp4"], "nowhere.mp4: there is no such file"),
        (["timeline", "nowhere.mp4"], "nowhere.mp4: there is no such file"),
        (["classify", "s3://a/b.mp4", "--server", "SERVER", "--render", "out.png"], "--render draws into a file"),
        (["classify", "s3://a/b.mp4", "VIDEO", "--server", "SERVER", "--together"], "ask for it alone"),
    ],
)
def test_what_cannot_be_looked_at_is_a_sentence(asked: Served, video: Path, arguments: list[str], told: str) -> None:
    done = fovea(*({"VIDEO": str(video), "SERVER": asked.url}.get(one, one) for one in arguments))
    assert isinstance(done.exception, ValueError)  # which `main` tells in red, without a traceback
    assert told in str(done.exception)


def requests(served: Served) -> float:
    """Posts of recognitions, however many videos each held."""
    sample = {"http_request_method": "POST", "http_route": "/v1/recognitions", "http_response_status_code": "200"}
    return served.metric("http_server_request_duration_seconds_count", **sample)
