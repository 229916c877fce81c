"""Cross-fitting: networks that never saw a fold calibrate, and one that learns from everything is what ships."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from models.adafocus.network import build_network
from models.bundle import Bundle
from tests.unit.training.runs import SAVING, network, trainer
from tests.unit.training.test_train_command import MODEL, PLAN, cache, data, plan_file
from tests.unit.training.trained import make_run
from training.bundling import Told, bundle_run
from training.fit.folds import fold_folder, scores_over_folds
from training.fit.plans import TrainPlan
from training.fit.recipe import Stage
from training.fit.run import BEST, DONE, METRICS, DataUsed, read_run

__all__ = ["cache", "data"]  # fixtures

FOLDED = replace(
    PLAN,
    recipe=replace(PLAN.recipe, folds=3),
    model=replace(MODEL, aggregation="average"),  # whose heads can be fitted
)
CLOSED_FORM = replace(FOLDED, recipe=replace(FOLDED.recipe, fitted_heads=True))


def fold_of(folder: Path, scores: dict[tuple[int, int], tuple[float, float]], num_held_out: int = 4) -> Path:
    """A run that is done, with (accuracy, loss) by (stage, epoch) in its metrics."""
    held_out = tuple(f"train/{folder.name}-{number}.mp4" for number in range(num_held_out))
    make_run(folder, folder.parent, used=DataUsed("data", "f", ("train/a.mp4",), held_out, ()))
    with (folder / METRICS).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["stage", "epoch", "loss", "held_out_loss", "held_out_accuracy"])
        writer.writerows([stage, epoch, 1.0, loss, acc] for (stage, epoch), (acc, loss) in scores.items())
        writer.writerow([0, 9, 1.0, "", ""])  # an epoch that nobody looked at
    return folder


def train(data: Path, cache: Path, out: Path, *more: str, plan: TrainPlan = FOLDED) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli.main", "train", str(data), "--out", str(out), "--cache", str(cache)]
    command += ["--threads", "1", "--plan", plan_file(out.parent, plan), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class TestScoresOverFolds:
    def test_are_means_over_the_videos_of_all_folds(self, tmp_path: Path) -> None:
        large = fold_of(tmp_path / "a", {(0, 1): (0.5, 1.0), (1, 0): (0.6, 1.5)}, num_held_out=9)
        small = fold_of(tmp_path / "b", {(0, 1): (0.1, 3.0), (1, 0): (0.6, 1.5)}, num_held_out=3)
        first, second = scores_over_folds([large, small])
        assert (first.stage, first.epoch, second.stage, second.epoch) == (0, 1, 1, 0)
        assert (first.accuracy, first.loss) == pytest.approx((0.4, 1.5))
        assert (second.accuracy, second.loss) == pytest.approx((0.6, 1.5))

    def test_are_of_epochs_that_every_fold_reached(self, tmp_path: Path) -> None:
        whole = fold_of(tmp_path / "a", {(0, 1): (0.5, 1.0), (0, 2): (0.9, 0.5)})
        behind = fold_of(tmp_path / "b", {(0, 1): (0.5, 1.0)})
        assert [score.epoch for score in scores_over_folds([whole, behind])] == [1]


class TestARunOnEverything:
    """Nothing is held out, so nothing is scored, and what a stage leaves are its last weights."""

    def test_keeps_the_last_weights_and_scores_nothing(self, tmp_path: Path) -> None:
        built = network()
        made = trainer(tmp_path, replace(SAVING, folds=3), built)
        made.held_out = None
        assert made.train()
        kept, last = safetensors.torch.load_file(tmp_path / BEST), built.state_dict()
        assert all(kept[name].equal(last[name]) for name in last)
        assert "held_out" not in (tmp_path / METRICS).read_text()

    def test_a_folds_run_keeps_the_last_too_whatever_its_scores(self, tmp_path: Path) -> None:
        """It stands for the run on everything, which cannot choose."""
        built = network()
        assert trainer(tmp_path, replace(SAVING, folds=3), built).train()
        kept, last = safetensors.torch.load_file(tmp_path / BEST), built.state_dict()
        assert all(kept[name].equal(last[name]) for name in last)
        assert "held_out_accuracy" in (tmp_path / METRICS).read_text()


def test_the_command_trains_a_network_per_fold_and_one_on_everything(data: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = train(data, cache, out)
    assert done.returncode == 0, done.stderr
    assert "all folds, stage 2 epoch   1: accuracy" in done.stderr
    whole, folds = read_run(out), [read_run(fold_folder(out, number)) for number in range(3)]
    everything = set(whole.data.training_files)
    assert len(everything) == 12
    assert whole.data.held_out_files == ()
    assert sorted(file for fold in folds for file in fold.data.held_out_files) == sorted(everything)
    for fold in folds:
        assert set(fold.data.training_files) == everything - set(fold.data.held_out_files)
    again = train(data, cache, out)
    assert again.returncode == 0, again.stderr
    assert "clips/s" not in again.stderr  # all of it was done


def test_killed_in_any_fold_the_same_command_goes_on_there(data: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    stopped = train(data, cache, out, "--max-minutes", "0")
    assert stopped.returncode == 3
    assert "goes on from" in stopped.stderr
    assert not (out / "run.json").exists()
    assert train(data, cache, out).returncode == 0
    assert (out / DONE).exists()


def test_heads_in_closed_form_alone_make_a_baseline_at_once(data: Path, cache: Path, tmp_path: Path) -> None:
    policy_alone = replace(CLOSED_FORM.recipe, stages=(Stage(1, "learned", ("policy",)),))
    weights, out = tmp_path / "imagenet.safetensors", tmp_path / "run"
    safetensors.torch.save_file(build_network(MODEL, seed=9).glance.backbone.state_dict(), weights)
    more = ["--baseline", "tsn+", "--glance-weights", str(weights), "--focus-weights", str(weights)]
    done = train(data, cache, out, *more, plan=replace(CLOSED_FORM, recipe=policy_alone))
    assert done.returncode == 0, done.stderr
    assert not fold_folder(out, 0).exists()  # nothing is calibrated on
    assert (read_run(out).data.num_training, (out / BEST).exists()) == (12, True)


@pytest.fixture(scope="module")
def run(data: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("folded") / "run"
    done = train(data, cache, out, plan=CLOSED_FORM)
    assert done.returncode == 0, done.stderr
    return out


class TestTheBundle:
    def test_is_calibrated_on_every_video_by_a_network_that_never_saw_its_group(
        self, run: Path, cache: Path, tmp_path: Path
    ) -> None:
        bundled = bundle_run(run, tmp_path / "mine", told=Told(), cache=cache, num_threads=1)
        assert sorted(bundled.held_out.paths_N) == sorted(read_run(run).data.training_files)
        assert bundled.bundle.calibration.entropy_NK.shape[0] == 12
        assert "by one of 3 networks trained likewise without its group" in bundled.bundle.calibration.data
        for fold in (fold_folder(run, number) for number in range(3)):
            # As a run of its own the fold calibrates on the same videos with the same network.
            path = fold / "run.json"
            before = path.read_text()
            alone = json.loads(before)
            alone["recipe"]["folds"] = 0
            path.write_text(json.dumps(alone))
            by_fold = bundle_run(fold, tmp_path / fold.name, told=Told(), cache=cache, num_threads=1).held_out
            path.write_text(before)
            rows = [bundled.held_out.paths_N.index(path) for path in by_fold.paths_N]
            np.testing.assert_allclose(bundled.held_out.log_probs_NKC[rows], by_fold.log_probs_NKC, atol=1e-4)
        origin = bundled.bundle.manifest.provenance
        assert origin.data.startswith("12 videos")
        assert origin.recipe.startswith("heads in closed form")
        assert "nothing held out" in origin.recipe

    def test_of_two_deals_has_a_row_a_video_in_each_and_is_told_as_their_mean(
        self, data: Path, cache: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "run"
        done = train(data, cache, out, "--set", "recipe.fold_deals=2", plan=CLOSED_FORM)
        assert done.returncode == 0, done.stderr
        deals = [
            [set(read_run(fold_folder(out, 3 * deal + k)).data.held_out_files) for k in range(3)] for deal in (0, 1)
        ]
        assert set.union(*deals[0]) == set.union(*deals[1]) == set(read_run(out).data.training_files)
        bundled = bundle_run(out, tmp_path / "mine", told=Told(), cache=cache, num_threads=1)
        calibration = Bundle.read(tmp_path / "mine").calibration
        assert (calibration.num_deals, calibration.num_videos, len(calibration.entropy_NK)) == (2, 12, 24)
        assert calibration.data.startswith("12 videos of ")
        assert calibration.data.endswith("anew in each of 2 deals of the folds: figures are the mean over the deals")
        last = calibration.grid.points[-1]
        assert last.solution.accuracy == pytest.approx(bundled.held_out.correct_NK[:, -1].mean())
        assert "of these videos (from deal to deal " in dict(bundled.bundle.card)["Calibrated on"]

    def test_is_refused_where_a_fold_is_missing_or_of_another_recipe(
        self, run: Path, cache: Path, tmp_path: Path
    ) -> None:
        path = fold_folder(run, 1) / "run.json"
        before = path.read_text()
        try:
            path.write_text(json.dumps({**json.loads(before), "clip": {**json.loads(before)["clip"], "num_frames": 5}}))
            with pytest.raises(ValueError, match=r"fold-1 is no fold of .*clip.num_frames"):
                bundle_run(run, tmp_path / "mine", told=Told(), cache=cache)
            path.unlink()
            with pytest.raises(ValueError, match=r"fold-1 holds no readable run\.json"):
                bundle_run(run, tmp_path / "mine", told=Told(), cache=cache)
        finally:
            path.write_text(before)
        assert not (tmp_path / "mine").exists()
