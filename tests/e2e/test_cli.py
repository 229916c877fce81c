"""`fovea` as typed: real processes, a tiny untrained bundle, and a service to ask."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from models.adafocus.shapes import tiny
from models.bundle import Bundle
from tests.clips import write_clip
from tests.serving import Served, serving
from training.data.synthetic import LABELS
from training.untrained import build_untrained
from video.clip import VideoLimits
from video.file.decode import decode


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


def test_frames_writes_what_a_model_is_shown_and_when(bundles: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip [1].mp4", size=(320, 240), rotate_deg=90)
    done = fovea("frames", clip, "--model", "small", "--out", tmp_path / "out", bundles=bundles)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "out" / "frames.json").read_text())
    assert set(told) == {"frames", "duration_s", "width", "height", "codec", "frames_missing"}
    assert (told["width"], told["height"], told["codec"], told["frames_missing"]) == (240, 320, "h264", 0)
    rule = Bundle.read(bundles / "small").clip_rule
    shown = decode(str(clip), rule, VideoLimits(60.0, 10**7, 1000))
    assert [frame["pts_s"] for frame in told["frames"]] == pytest.approx(shown.pts_s)
    for frame, frame_HWC in zip(told["frames"], shown.frames_THWC, strict=True):
        np.testing.assert_array_equal(pixels(tmp_path / "out" / frame["file"]), frame_HWC)


def test_whole_frames_are_upright_and_of_the_displayed_size(bundles: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", size=(320, 240), rotate_deg=90)
    done = fovea("frames", clip, "--whole", "--out", tmp_path / "out", bundles=bundles)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "out" / "frames.json").read_text())
    assert {pixels(tmp_path / "out" / frame["file"]).shape for frame in told["frames"]} == {(320, 240, 3)}


def test_frames_of_what_is_no_video_tells_the_problem_and_ends_with_one(bundles: Path, tmp_path: Path) -> None:
    path = tmp_path / "a[b].mp4"
    path.write_bytes(b"\xff\xd8\xff" + bytes(100))
    done = fovea("frames", path, "--out", tmp_path / "out", bundles=bundles)
    assert done.returncode == 1
    assert "a picture (JPEG)" in done.stderr
    assert not (tmp_path / "out").exists()


def test_frames_for_a_model_that_is_not_there_lists_those_that_are(bundles: Path, video: Path, tmp_path: Path) -> None:
    done = fovea("frames", video, "--model", "large", "--out", tmp_path / "out", bundles=bundles)
    assert done.returncode != 0
    assert "small" in done.stderr


def pixels(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize("name", ["cat[1].mp4", "[bold]red[/bold].mp4", "[red"])
def test_square_brackets_in_a_file_s_name_are_part_of_it(
    asked: Served, red_video: bytes, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name  # a slash makes it a folder and a file: together they look like closed markup
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(red_video)
    done = fovea("classify", path, "--server", asked.url)
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout
    path.write_bytes(b"no video")
    broken = fovea("classify", path, "--server", asked.url)
    assert broken.returncode == 1
    assert str(path) in broken.stderr


def test_it_says_which_version_it_is_and_where_settings_are_told() -> None:
    assert fovea("--version").stdout == f"fovea {version('fovea-server')}\n"
    told = "".join(fovea("serve", "--help").stdout.split())
    assert "FOVEA_*" in told
    assert "service/settings.py" in told
