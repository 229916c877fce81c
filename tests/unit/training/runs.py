"""Tiny runs on seeded synthetic clips, in memory: what the tests of training share.

Shape suffixes: B clips, T frames, H rows, W columns, C classes or colour channels.
"""

from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.adafocus.config import AdaFocusConfig, tiny
from models.recognizer import ClipSpec
from training.networks import Network, build
from training.precision import prepare
from training.recipe import Recipe, Stage
from training.run import ModelPlan
from training.synthetic import LABELS, synthetic_clips
from training.trainer import Trainer

MODEL = replace(tiny(len(LABELS)), max_cubes=2)
SAVING = Recipe((Stage(2, "random"),), batch_size=4, precision="fp32", interpolate_random=False)


def clips(model: AdaFocusConfig, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """(clips_BTHWC, labels_B)."""
    spec = ClipSpec(model.num_frames, *model.frame_size, "stretch")
    frames, labels = zip(*synthetic_clips(spec, count, seed), strict=True)
    return torch.from_numpy(np.stack(frames)), torch.tensor(labels)


def network(model: AdaFocusConfig = MODEL, seed: int = 0) -> Network:
    built = build(ModelPlan("adafocus_v3", model.to_dict()), seed)
    prepare(built, "fp32", torch.device("cpu"))
    return built


def trainer(out: Path, recipe: Recipe, built: Network | None = None, **more: Any) -> Trainer:
    """24 clips to learn from, 8 held out; a batch follows from its number alone, as `training.batches`' do."""
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
