"""`fovea batch` as typed: an archive into a table, by real processes that are killed, over files and S3."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from models.adafocus.shapes import tiny
from models.listing import read_listing
from models.preparing import put_into_bundle
from tests.clips import solid, write_clip
from tests.s3_server import BUCKET, s3_server
from training.data.synthetic import LABELS
from training.untrained import build_untrained

NUM_CLIPS, EVERY_BROKEN = 60, 6


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny bundle, converted: its process starts without torch."""
    folder = tmp_path_factory.mktemp("bundles")
    build_untrained(folder / "small", config=tiny(len(LABELS)), num_clips=24)
    put_into_bundle(read_listing(folder / "small"))
    return {"FOVEA_BUNDLES": str(folder), "FOVEA_SHIPPED_BUNDLES": "false", "FOVEA_PRECISION": "fp32"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 videos of four colours; every sixth is none."""
    folder = tmp_path_factory.mktemp("archive")
    colours = [
        write_clip(folder / f"colour-{n}.mp4", pattern=solid(60 * n, 90, 200 - 60 * n), seconds=0.5, size=(64, 48))
        for n in range(4)
    ]
    contents = [path.read_bytes() for path in colours]
    for number in range(NUM_CLIPS):
        broken = number % EVERY_BROKEN == EVERY_BROKEN - 1
        (folder / f"clip-{number:02}.mp4").write_bytes(b"no video" if broken else contents[number % 4])
    for path in colours:
        path.unlink()
    return folder


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cli.main", "batch", *map(str, arguments)]


def fovea_batch(*arguments: object, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=os.environ | environment, capture_output=True, text=True, timeout=100, check=False
    )


def killed_at_failure(number: int, by: signal.Signals, *arguments: object, environment: dict[str, str]) -> int:
    """Its exit status, and a signal sent once it has told of so many broken videos."""
    with subprocess.Popen(
        command(*arguments), env=os.environ | environment, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        told = 0
        for line in running.stderr:
            told += ".mp4: " in line
            if told == number:
                running.send_signal(by)
                break
        running.stderr.read()
        return running.wait(60)


def rows_of(out: Path) -> list[dict[str, Any]]:
    if out.suffix == ".parquet":
        return list(pyarrow.parquet.read_table(out).to_pylist())
    return [json.loads(line) for line in out.read_text().splitlines()]


def assert_alike(one: Any, other: Any) -> None:
    """The same but for numbers' last digits: they depend on which videos shared a batch (docs/ARCHITECTURE.md)."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert_alike(value, other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_alike(mine, theirs)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-3)
    else:
        assert one == other


def test_an_archive_that_is_killed_and_killed_again_has_each_video_once(
    environment: dict[str, str], clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.parquet"
    arguments = (clips, "--out", out, "--top-k", 2)
    assert killed_at_failure(2, signal.SIGKILL, *arguments, environment=environment) == -signal.SIGKILL
    assert killed_at_failure(1, signal.SIGTERM, *arguments, environment=environment) == 3
    assert not out.exists()
    done = fovea_batch(*arguments, environment=environment)
    assert done.returncode == 1, done.stderr
    assert f"{NUM_CLIPS // EVERY_BROKEN} of {NUM_CLIPS} videos could not be recognised" in done.stderr
    rows = rows_of(out)
    assert Counter(row["source"] for row in rows) == Counter(str(path) for path in clips.iterdir())
    for row in rows:
        number = int(Path(row["source"]).stem.removeprefix("clip-"))
        if number % EVERY_BROKEN == EVERY_BROKEN - 1:
            assert row["problem"]["type"] == "/problems/video-unreadable"
            assert row["label"] is None
        else:
            assert row["label"] == row["predictions"][0]["label"]
            assert len(row["predictions"]) == 2
            assert row["compute"]["spent_gflops"] > 0
            assert row["compute"]["budget_granted_gflops"] == row["compute"]["budget_gflops"]
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_list_with_files_that_are_missing_named_twice_or_broken_has_a_row_for_each_and_tells_of_them(
    environment: dict[str, str], clips: Path, tmp_path: Path
) -> None:
    named = ["clip-00.mp4", "./clip-00.mp4", "gone.mp4", "clip-05.mp4", "clip-01.mp4", str(clips / "clip-01.mp4"), ""]
    (clips / "list.csv").write_text("path\n" + "\n".join(named))
    out = tmp_path / "results.jsonl"
    done = fovea_batch(clips / "list.csv", "--out", out, "--model", "small", environment=environment)
    (clips / "list.csv").unlink()
    assert done.returncode == 1
    assert "4 videos, 2 named more than once" in done.stderr
    assert f"{clips}/gone.mp4: there is no such file" in done.stderr
    rows = {Path(row["source"]).name: row for row in rows_of(out)}
    assert list(rows) == ["clip-00.mp4", "gone.mp4", "clip-05.mp4", "clip-01.mp4"]
    assert [name for name, row in rows.items() if "problem" in row] == ["gone.mp4", "clip-05.mp4"]


def test_objects_of_a_bucket_are_recognised_as_files_are(
    environment: dict[str, str], clips: Path, tmp_path: Path
) -> None:
    with s3_server() as server:
        for name in ("clip-00.mp4", "clip-01.mp4", "clip-05.mp4"):
            server.put(f"year/{name}", (clips / name).read_bytes())
        (tmp_path / "list.jsonl").write_text(json.dumps({"source": f"s3://{BUCKET}/year/gone.mp4"}))
        out = tmp_path / "results.jsonl"
        done = fovea_batch(
            f"s3://{BUCKET}/year", tmp_path / "list.jsonl", clips / "clip-00.mp4", "--out", out,
            environment=environment | server.environment,
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    first, second, broken, gone, local = rows_of(out)
    assert_alike(first | {"source": ""}, local | {"source": ""})
    assert second["source"] == f"s3://{BUCKET}/year/clip-01.mp4"
    assert broken["problem"]["type"] == "/problems/video-unreadable"
    assert gone["problem"]["type"] == "/problems/url-not-fetched"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "r.xls"], "ends in none of .parquet, .jsonl, .csv"),
        (["--out", "nowhere/r.csv"], "make it first"),
        (["--out", "r.csv", "--budget-gflops", "nan"], "budget_gflops='nan'"),
        (["--out", "r.csv", "--model", "resnet"], "choose one of: auto, small"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_leaves_nothing_behind(
    environment: dict[str, str], clips: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = subprocess.run(
        command(clips, *arguments), env=os.environ | environment | {"PYTHONPATH": os.getcwd()}, cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
