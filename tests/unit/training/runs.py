"""Tiny runs on seeded synthetic clips, in memory: what the tests of training share.

Shape suffixes: B clips, T frames, H rows, W columns, C classes or colour channels.
"""

import csv
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.adafocus.shapes import tiny
from training.data.synthetic import LABELS, synthetic_clips
from training.fit.networks import build
from training.fit.precision import prepare
from training.fit.recipe import Recipe, Stage
from training.fit.run import BEST, LAST, METRICS, ModelPlan
from training.fit.trainer import StepReport, Trainer
from video.clip import ClipRule

MODEL = replace(tiny(len(LABELS)), max_cubes=2)
SAVING = Recipe((Stage(2, "random"),), batch_size=4, precision="fp32", interpolate_random=False)


def clips(model: AdaFocusConfig, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """(clips_BTHWC, labels_B)."""
    spec = ClipRule(model.num_frames, *model.frame_size, "stretch")
    frames, labels = zip(*synthetic_clips(spec, count, seed), strict=True)
    return torch.from_numpy(np.stack(frames)), torch.tensor(labels)


def network(model: AdaFocusConfig = MODEL, seed: int = 0) -> nn.Module:
    built = build(ModelPlan("adafocus_v3", model.to_dict()), seed)
    prepare(built, "fp32", torch.device("cpu"))
    return built


def trainer(out: Path, recipe: Recipe, built: nn.Module | None = None, **more: Any) -> Trainer:
    """24 clips to learn from, 8 held out; a batch follows from its number alone, as `training.data.batches`' do."""
    learning, labels = clips(MODEL, 24, seed=0)
    steps = 24 // (recipe.batch_size * recipe.accumulation)

    def batches_from(first: int) -> Generator[tuple[Tensor, Tensor], None, None]:
        number = first
        while True:
            rows = torch.randperm(24, generator=torch.Generator().manual_seed(number))[: recipe.batch_size]
            yield learning[rows], torch.eye(len(LABELS))[labels[rows]]
            number += 1

    def held_out() -> Iterator[tuple[Tensor, Tensor]]:
        yield clips(MODEL, 8, seed=1)

    return Trainer(built or network(), recipe, batches_from, held_out, steps, out, **more)


class Watch:
    """A report that remembers, and says stop after so many steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.steps: list[StepReport] = []
        self.rows: list[dict[str, object]] = []
        self._stop_after = stop_after

    def step(self, report: StepReport) -> None:
        self.steps.append(report)

    def epoch(self, row: dict[str, object]) -> None:
        self.rows.append(row)

    def stop(self) -> bool:
        return self._stop_after is not None and len(self.steps) >= self._stop_after


def figures(path: Path) -> list[dict[str, str]]:
    """The lines of a metrics.csv but for speed, which no two runs share."""
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "clips_per_s"} for row in csv.DictReader(file)]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def assert_same_end(one: Path, other: Path) -> None:
    assert same(safetensors.torch.load_file(one / BEST), safetensors.torch.load_file(other / BEST))
    assert figures(one / METRICS) == figures(other / METRICS)
    networks = [torch.load(folder / LAST, weights_only=True)["network"] for folder in (one, other)]
    assert same(*networks)
