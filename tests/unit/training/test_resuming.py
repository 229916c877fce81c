"""A run that was interrupted, stopped or killed anywhere ends as one that was not, to the bit."""

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.backbones.config import BackboneConfig
from tests.unit.training.runs import MODEL, SAVING, Watch, assert_same_end, network, trainer
from training.fit.plans import find_plan
from training.fit.recipe import Stage
from training.fit.run import BEST, DONE, LAST, METRICS

INTERRUPTED = replace(SAVING, stages=(Stage(2, "both"), Stage(1, "learned", ("policy",))))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, threads = tmp_path_factory.mktemp("whole"), torch.get_num_threads()
    torch.set_num_threads(1)
    assert trainer(folder, INTERRUPTED).train()
    torch.set_num_threads(threads)
    return folder


@pytest.mark.parametrize(
    "stop_after", [1, 6, 12, 15], ids=["in an epoch", "between epochs", "at a stage", "in the last"]
)
def test_an_interrupted_run_ends_with_the_same_bits_as_an_uninterrupted_one(
    uninterrupted: Path, tmp_path: Path, stop_after: int
) -> None:
    first = Watch(stop_after)
    assert not trainer(tmp_path, INTERRUPTED, report=first).train(stop=first.stop)
    assert not (tmp_path / DONE).exists()
    assert trainer(tmp_path, INTERRUPTED, network(seed=99)).train()  # the initial weights do not matter any more
    assert_same_end(uninterrupted, tmp_path)


@pytest.mark.parametrize("stop_after", [2, 4], ids=["in the first stage", "in the second"])
def test_the_papers_two_stages_of_clip_cubes_resume_to_the_same_bits_too(tmp_path: Path, stop_after: int) -> None:
    """Its recipe, shortened, on a tiny network of its form: temporal shift, a ResNet to focus, accumulated batches."""
    papers = find_plan("paper-clip-cubes", MODEL.num_classes).recipe
    stages = tuple(replace(stage, epochs=1) for stage in papers.stages)
    recipe = replace(papers, stages=stages, batch_size=4, accumulation=2, precision="fp32")
    model = replace(
        MODEL, focus=BackboneConfig("resnet18"), cube_size=(3, 32, 32), temporal_shift=True, aggregation="average"
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    assert trainer(whole, recipe, network(model)).train()
    first = Watch(stop_after)
    assert not trainer(parts, recipe, network(model), report=first).train(stop=first.stop)
    assert trainer(parts, recipe, network(model, seed=99)).train()
    assert_same_end(whole, parts)


def test_a_killed_process_loses_nothing_but_the_steps_since_its_last_checkpoint(
    uninterrupted: Path, tmp_path: Path
) -> None:
    program = f"""
import os, signal, torch
from pathlib import Path
from tests.unit.training.runs import trainer
from tests.unit.training.test_resuming import INTERRUPTED
torch.set_num_threads(1)
class Killer:
    def step(self, report):
        if report.total_steps == 5:
            os.kill(os.getpid(), signal.SIGKILL)
    def epoch(self, row): pass
trainer(Path({str(tmp_path)!r}), INTERRUPTED, report=Killer(), checkpoint_every_s=0.0).train()
"""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    watch = Watch()
    assert trainer(tmp_path, INTERRUPTED, report=watch).train()
    assert watch.steps[0].total_steps == 5  # the fifth step was taken, but not saved
    assert_same_end(uninterrupted, tmp_path)


def test_a_process_killed_after_its_last_checkpoint_trains_no_further(uninterrupted: Path, tmp_path: Path) -> None:
    for name in (BEST, LAST, METRICS):
        shutil.copy(uninterrupted / name, tmp_path)
    watch = Watch()
    assert trainer(tmp_path, INTERRUPTED, report=watch).train()
    assert watch.steps == []
    assert (tmp_path / DONE).exists()


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    assert trainer(tmp_path, SAVING).train()
    before = (tmp_path / BEST).stat().st_mtime_ns
    watch = Watch()
    assert trainer(tmp_path, SAVING, report=watch).train()
    assert (watch.steps, (tmp_path / BEST).stat().st_mtime_ns) == ([], before)


def test_training_leaves_the_callers_random_state_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trainer(tmp_path, SAVING).train()
    assert torch.equal(torch.rand(3), expected)
