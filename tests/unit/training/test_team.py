"""Several processes train one network: the same losses, step by step, as one process with the same batches."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from models.adafocus.shapes import tiny
from tests.clips import noise, solid, write_clip
from training.data.augment import Augmentation
from training.fit.plans import TrainPlan
from training.fit.recipe import Recipe, Stage
from training.fit.run import BEST, LAST, METRICS, read_run
from video.clip import ClipRule

pytestmark = pytest.mark.timeout(600)  # torchrun and its processes each import torch
ROOT = Path(__file__).resolve().parents[3]
MODEL = replace(tiny(2), dropout=0.0)
PLAN = TrainPlan(
    model=MODEL,
    clip=ClipRule(MODEL.num_frames, *MODEL.frame_size, "center_crop", 64),
    recipe=Recipe((Stage(3, "both"),), batch_size=2, precision="bf16", held_out_share=0.34),
    augmentation=Augmentation(scales=(1.0, 0.875), random_frames=True),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos of each of two classes, in three groups, and a plan."""
    folder = tmp_path_factory.mktemp("team")
    rows = ["path,label,subject"]
    for label in ("plain", "textured"):
        for number in range(6):
            path = f"{label}-{number}.mp4"
            pattern = noise if label == "textured" else solid(40 * number, 90, 200)
            write_clip(folder / path, pattern=pattern, size=(96, 80), seconds=0.8, fps=10)
            rows.append(f"{path},{label},{number // 2}")
    (folder / "videos.csv").write_text("\n".join(rows) + "\n")
    (folder / "plan.json").write_text(json.dumps(PLAN.to_dict()))
    return folder


def train(place: Path, out: str, processes: int, *more: str) -> subprocess.CompletedProcess[str]:
    """`fovea train`, by torchrun where there are to be several."""
    by_torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.run(
        [sys.executable, *(by_torchrun if processes > 1 else ()), "-m", "cli.main", "train", str(place / "videos.csv"),
         "--out", str(place / out), "--plan", str(place / "plan.json"), "--cache", str(place / "cache"),
         "--threads", "1", "--set", "recipe.precision=fp32", *more],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def losses(out: Path) -> list[list[float]]:
    with (out / METRICS).open(newline="") as file:
        return [
            [float(value) for name, value in row.items() if name.startswith(("loss", "held_out"))]
            for row in csv.DictReader(file)
        ]


def test_two_processes_have_the_loss_curve_and_the_weights_of_one(place: Path) -> None:
    shared = ("--set", "recipe.accumulation=2")
    for out, processes in (("one", 1), ("two", 2)):
        done = train(place, out, processes, *shared)
        assert done.returncode == 0, done.stderr
    assert read_run(place / "one").differences(read_run(place / "two")) == []
    one, two = losses(place / "one"), losses(place / "two")
    assert len(one) == 3
    assert one[0] != one[2]
    for mine, theirs in zip(one, two, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3)
    mine, theirs = (safetensors.torch.load_file(place / out / BEST) for out in ("one", "two"))
    names = [name for name in mine if "running" not in name]
    assert max(float((mine[name].float() - theirs[name].float()).abs().max()) for name in names) < 1e-3
    last = torch.load(place / "two" / LAST, weights_only=True)
    assert last["total_steps"] == torch.load(place / "one" / LAST, weights_only=True)["total_steps"]


def test_processes_that_cannot_share_a_step_are_told_how_they_could(place: Path) -> None:
    done = train(place, "odd", 2, "--set", "recipe.accumulation=1")
    assert done.returncode != 0
    assert "--set recipe.accumulation=2" in done.stderr


def test_tensorboard_has_the_figures_of_metrics_csv(place: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415 - slow to load

    done = train(place, "board", 1, "--tensorboard")
    assert done.returncode == 0, done.stderr
    events = EventAccumulator(str(place / "board" / "tensorboard"))
    events.Reload()
    told = [event.value for event in events.Scalars("stage 1/loss")]
    assert told == pytest.approx([row[0] for row in losses(place / "board")], rel=1e-5)
