"""Stages of the needle benchmark: what was found is kept, and never mistaken for what other settings would find."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.needle_stages import Stages

SETTINGS = {"clips": 40, "weights": "some.safetensors"}


def unwanted() -> Tensor:
    raise AssertionError("the stage was run again")


def test_a_stage_that_was_run_to_its_end_is_not_run_again(tmp_path: Path) -> None:
    Stages(tmp_path, SETTINGS).tensor("heads of all", lambda: torch.arange(3))
    assert Stages(tmp_path, SETTINGS).tensor("heads of all", unwanted).tolist() == [0, 1, 2]


def test_a_stage_that_failed_is_run_again(tmp_path: Path) -> None:
    stages = Stages(tmp_path, SETTINGS)
    with pytest.raises(AssertionError):
        stages.tensor("heads", unwanted)
    assert stages.tensor("heads", lambda: torch.ones(1)).item() == 1


def test_stages_of_other_settings_are_refused(tmp_path: Path) -> None:
    Stages(tmp_path, SETTINGS)
    with pytest.raises(ValueError, match="name another folder"):
        Stages(tmp_path, {**SETTINGS, "clips": 80})


def test_without_a_folder_every_stage_runs(tmp_path: Path) -> None:
    stages = Stages(None, SETTINGS)
    stages.tensor("heads", lambda: torch.zeros(1))
    assert stages.tensor("heads", lambda: torch.ones(1)).item() == 1
