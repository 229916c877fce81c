"""`fovea` as typed: real processes, a tiny untrained bundle, and a service to ask."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from models.adafocus.config import tiny
from tests.serving import Served, serving
from training.data.synthetic import LABELS
from training.untrained import build_untrained


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    build_untrained(folder / "small", config=tiny(len(LABELS)), num_clips=24)
    return folder


@pytest.fixture(scope="module")
def asked() -> Iterator[Served]:
    with serving() as service:
        yield service


@pytest.fixture
def video(red_video: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "red.mp4"
    path.write_bytes(red_video)
    return path


def fovea(*arguments: object, bundles: Path | None = None) -> subprocess.CompletedProcess[str]:
    settings = {}
    if bundles is not None:
        settings = {"FOVEA_BUNDLES": str(bundles), "FOVEA_SHIPPED_BUNDLES": "false", "FOVEA_RUNTIME": "torch"}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_classify_answers_in_this_process_with_a_table_of_steps(bundles: Path, video: Path) -> None:
    done = fovea("classify", video, bundles=bundles)
    assert done.returncode == 0, done.stderr
    assert "small is untrained: its labels mean nothing" in done.stdout
    header, glance = (line for line in done.stdout.splitlines() if line.startswith(("step", "0")))
    assert header.split()[:3] == ["step", "kind", "GFLOPs"]
    assert glance.split()[1] == "glance"


def test_classify_writes_one_json_object_a_video(bundles: Path, video: Path) -> None:
    done = fovea("classify", "--json", "--max-gflops", "1", video, video, bundles=bundles)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == [str(video)] * 2
    for answer in answers:
        steps = answer["compute"]["steps"]
        assert answer["compute"]["spent_gflops"] == pytest.approx(sum(step["gflops"] for step in steps))
        assert answer["compute"]["max_gflops"] == 1


def test_classify_asks_a_service_with_the_same_options(asked: Served, video: Path) -> None:
    done = fovea("classify", "--json", "--server", asked.url, "--max-gflops", "0.15", video)
    answer = json.loads(done.stdout)
    assert (answer["model"], answer["exit"]["reason"], answer["exit"]["step"]) == ("tiny", "ceiling", 1)


@pytest.mark.parametrize("where", ["here", "server"])
def test_a_bad_video_is_told_and_the_next_one_is_answered(
    bundles: Path, asked: Served, video: Path, tmp_path: Path, where: str
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    options = ["--server", asked.url] if where == "server" else []
    done = fovea("classify", "--json", *options, text, video, bundles=bundles)
    assert done.returncode == 1
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == [str(video)]
    assert str(text) in done.stderr
    assert "1 of 2 videos could not be recognised" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--budget-gflops", "nan"], "budget_gflops='nan'"),
        (["--budget-gflops", "1e-9"], "ask for at least"),
        (["--model", "resnet"], "choose one of: auto, small"),
    ],
)
def test_options_are_checked_as_the_service_checks_them(
    bundles: Path, video: Path, arguments: list[str], told: str
) -> None:
    done = fovea("classify", *arguments, video, bundles=bundles)
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_that_is_not_there_is_a_sentence(video: Path) -> None:
    done = fovea("classify", "--server", "http://127.0.0.1:9", video)
    assert done.returncode == 1
    assert "http://127.0.0.1:9 cannot be asked" in done.stderr


def test_models_lists_what_would_be_served(bundles: Path) -> None:
    (bundle,) = json.loads(fovea("models", "--json", bundles=bundles).stdout)
    assert (bundle["name"], bundle["trained"], bundle["labels"]) == ("small", False, list(LABELS))
    assert bundle["least_gflops"] <= bundle["default_budget_gflops"] <= bundle["largest_gflops"]
    assert "NO: labels mean nothing" in fovea("models", bundles=bundles).stdout


def test_without_a_bundle_the_way_out_is_told(video: Path, tmp_path: Path) -> None:
    done = fovea("classify", video, bundles=tmp_path)
    assert done.returncode == 2
    assert "FOVEA_SHIPPED_BUNDLES=true" in done.stderr


def test_a_setting_that_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    os.environ["FOVEA_PORT"] = "tcp://10.0.0.1:80"
    done = fovea("serve", bundles=tmp_path)
    assert done.returncode == 2
    assert "FOVEA_PORT='tcp://10.0.0.1:80'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("where", "name"), [("here", "out.png"), ("server", "out.mp4")])
def test_classify_draws_what_it_saw(
    bundles: Path, asked: Served, video: Path, tmp_path: Path, where: str, name: str
) -> None:
    options = ["--server", asked.url] if where == "server" else []
    done = fovea("classify", video, "--render", tmp_path / name, *options, bundles=bundles)
    assert done.returncode == 0, done.stderr
    assert f"drew {tmp_path / name}" in done.stderr
    with av.open(str(tmp_path / name)) as drawn:
        assert drawn.streams.video[0].width >= 480


@pytest.mark.parametrize(("count", "name", "told"), [(2, "out.mp4", "there are 2"), (1, "out.gif", "by the suffix")])
def test_a_drawing_that_cannot_be_is_a_sentence(video: Path, tmp_path: Path, count: int, name: str, told: str) -> None:
    done = fovea("classify", *[video] * count, "--render", tmp_path / name, "--server", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
