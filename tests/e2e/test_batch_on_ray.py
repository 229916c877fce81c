"""The same archive on a real Ray cluster of this machine: the same table as in one process."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require
from tests.documents import ROOT
from tests.e2e.test_batch import assert_alike, clips, command, environment, fovea_batch, rows_of
from tests.streaming import free_port

__all__ = ["clips", "environment"]  # fixtures
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
RAY = Path(sys.prefix) / "ray" / "bin"
START_S = 100.0


@pytest.fixture(scope="module")
def cluster(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables by which a run finds it. Its workers are as important as other processes."""
    require((RAY / "ray").exists(), "Ray (make .venv/.dev)")
    port, log = free_port(), tmp_path_factory.mktemp("ray") / "log"
    variables = environment | {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    variables |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    start = [
        RAY / "ray",
        "start",
        "--head",
        "--block",
        "--port",
        str(port),
        "--num-cpus",
        "2",
        "--node-ip-address",
        "127.0.0.1",
    ]
    with log.open("w") as told:
        node = subprocess.Popen(
            [*start, "--include-dashboard=false", "--disable-usage-stats"],
            env=os.environ | variables, cwd=ROOT, stdout=told, stderr=told, start_new_session=True,
        )  # fmt: skip
    try:
        give_up_s = time.monotonic() + START_S
        while "runtime has started" not in log.read_text() and "Ray runtime started" not in log.read_text():
            assert node.poll() is None, log.read_text()
            assert time.monotonic() < give_up_s, log.read_text()
            time.sleep(0.2)
        yield variables | {"RAY_ADDRESS": f"127.0.0.1:{port}"}
    finally:
        os.killpg(node.pid, signal.SIGKILL)  # asked to end, it takes more than 30 s; nothing is to be kept
        node.wait(10)


def on_ray(arguments: list[str], cluster: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RAY / "python", *arguments], env=os.environ | cluster | {"PYTHONPATH": str(ROOT)}, cwd=ROOT,
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def test_the_table_of_a_ray_cluster_is_that_of_one_process(
    environment: dict[str, str], cluster: dict[str, str], clips: Path, tmp_path: Path
) -> None:
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    assert fovea_batch(clips, "--out", here, environment=environment).returncode == 1
    done = on_ray(command(clips, "--out", there, "--engine", "ray")[1:], cluster)
    assert done.returncode == 1, done.stderr
    assert "10 of 60 videos could not be recognised" in done.stderr
    by_source = {row["source"]: row for row in rows_of(there)}
    assert len(by_source) == len(rows_of(there))
    assert_alike(by_source, {row["source"]: row for row in rows_of(here)})


def test_the_example_recognises_an_archive_and_counts_its_labels(
    cluster: dict[str, str], clips: Path, tmp_path: Path
) -> None:
    done = on_ray(["examples/ray_batch/recognise.py", str(clips), str(tmp_path / "r.parquet")], cluster)
    assert done.returncode == 0, done.stderr
    assert "60 videos, 0 of them done before" in done.stdout
    assert "    10 (no label)" in done.stdout


def test_options_that_cannot_be_are_a_sentence(cluster: dict[str, str], clips: Path, tmp_path: Path) -> None:
    done = on_ray(command(clips, "--out", tmp_path / "r.csv", "--engine", "ray", "--model", "none")[1:], cluster)
    assert done.returncode == 2
    assert "choose one of: auto, small" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_ray_the_extra_is_named(environment: dict[str, str], clips: Path, tmp_path: Path) -> None:
    """These tests' own environment has no Ray."""
    done = fovea_batch(clips, "--out", tmp_path / "r.csv", "--engine", "ray", environment=environment)
    assert done.returncode == 2
    assert "pip install 'fovea-server[ray]'" in done.stderr
    assert not list(tmp_path.iterdir())
