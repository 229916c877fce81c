"""`fovea calibrate`: a run becomes a bundle that answers as it was calibrated, or nothing at all."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from cli.main import cli
from models import available_models
from models.bundle import Bundle
from models.loading import make_model
from models.runtime import RuntimeConfig
from tests.unit.training.trained import CLIP, LABELS, make_data, make_run
from training.bundling import Told, bundle_run, describe_recipe, halved
from training.data.frames import FrameStore
from training.fit.run import BEST, read_run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("strokes") / "strokes")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def bundled(tmp_path_factory, data, cache):
    run = make_run(tmp_path_factory.mktemp("runs") / "run", data)
    return bundled_of(run, tmp_path_factory.mktemp("bundles") / "mine", told=Told(licence="MIT"), cache=cache)


def bundled_of(run, out, told=None, **how):
    """On one thread: the tests share the machine."""
    return bundle_run(run, out, told=told or Told(), num_threads=1, **how)


def nothing_left(folder):
    return list(folder.iterdir()) == []


class TestTheBundle:
    def test_is_sound_found_by_name_and_called_trained(self, bundled):
        folder = bundled.bundle.folder
        assert available_models(folder.parent)["mine"] == folder
        bundle = Bundle.read(folder)
        assert (bundle.digest, bundle.trained, bundle.labels) == (bundled.bundle.digest, True, LABELS)
        assert (bundle.task, bundle.manifest.licence, bundle.clip_rule) == ("strokes", "MIT", CLIP)

    def test_answers_with_the_entropies_it_was_calibrated_on_though_its_weights_are_in_fp16(self, bundled, data, cache):
        folder = bundled.bundle.folder
        stored = load_file(folder / "weights.safetensors")
        assert {t.dtype for t in stored.values() if t.is_floating_point() and t.ndim > 1} == {torch.float16}
        assert {t.dtype for t in stored.values() if t.is_floating_point() and t.ndim == 1} == {torch.float32}
        recognizer = make_model(
            Bundle.read(folder), RuntimeConfig(name="torch", precision="fp32", num_threads=1)
        ).recognizer
        store = FrameStore(cache, 64)
        states = recognizer.glance([store.clip(data / path, CLIP) for path in bundled.held_out.paths_N])
        for k in range(3):
            states = states if k == 0 else recognizer.focus(states)
            served = [state.entropy_nats for state in states]
            np.testing.assert_allclose(served, bundled.bundle.calibration.entropy_NK[:, k], atol=1e-4)

    def test_is_calibrated_on_the_runs_held_out_videos_alone(self, bundled, data):
        run_files = sorted(str(path.relative_to(data)) for path in (data / "train").glob("*.mp4"))[:6]
        assert sorted(bundled.held_out.paths_N) == run_files
        assert "6 videos of" in bundled.bundle.calibration.data
        assert len(bundled.errors_before_K) == len(bundled.errors_after_K) == 3

    def test_is_measured_on_the_val_split(self, bundled):
        measured = bundled.bundle.manifest.measured
        assert "8 videos of 4 groups of strokes, its val split" in measured.data
        assert {sum(point.videos_by_last_step_K) for point in measured.points} == {8}

    def test_says_where_it_comes_from(self, bundled):
        origin = bundled.bundle.manifest.provenance
        assert (origin.seed, origin.data) == (4, "6 videos of strokes; terms: not stated")
        assert origin.recipe.startswith("2 epochs of glance+policy+focus+classifier")

    def test_has_a_default_budget_between_a_glance_and_everything(self, bundled):
        bundle = bundled.bundle
        assert bundle.grid.least_flops <= bundle.default_budget_flops <= bundle.grid.full_flops


def test_without_a_val_split_the_figures_are_said_to_be_optimistic(tmp_path, cache):
    data = make_data(tmp_path / "data", num_val=0)
    bundled = bundled_of(make_run(tmp_path / "run", data), tmp_path / "mine", cache=cache)
    assert bundled.bundle.manifest.measured.data.startswith("OPTIMISTIC: there was no val split")


def test_groups_shared_by_train_and_val_are_told(tmp_path, cache):
    data = make_data(tmp_path / "data")
    table = data / "labels.csv"
    table.write_text(table.read_text().replace(",val0,", ",train5,"))
    bundled = bundled_of(make_run(tmp_path / "run", data), tmp_path / "mine", cache=cache)
    assert "OPTIMISTIC: 1 of its groups occur in training too" in bundled.bundle.manifest.measured.data


def test_a_video_that_was_trained_on_is_no_val_video(tmp_path, cache):
    data = make_data(tmp_path / "data")
    run = make_run(tmp_path / "run", data)
    moved = read_run(run).data.training_files[0]
    table = data / "labels.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(line.replace(",train,", ",val,") if line.startswith(moved) else line for line in lines))
    with pytest.raises(ValueError, match=rf"1 videos of the val split were trained on by this run, such as {moved}"):
        bundled_of(run, tmp_path / "mine", cache=cache)


def test_data_that_has_moved_is_named(tmp_path, data, cache):
    used = replace(read_run(make_run(tmp_path / "a", data)).data, path="/nowhere/strokes")
    run = make_run(tmp_path / "run", data, used=used)
    with pytest.raises(ValueError, match="/nowhere/strokes"):
        bundled_of(run, tmp_path / "mine", cache=cache)
    assert bundled_of(run, tmp_path / "mine", cache=cache, data=data).bundle.task == "strokes"


def test_an_unfinished_run_says_so(tmp_path, data):
    run = read_run(make_run(tmp_path / "run", data, finished=False))
    assert "not finished" in describe_recipe(run, finished=False)
    assert "not finished" not in describe_recipe(run, finished=True)


class TestNothingIsLeftBehind:
    """Each of these is an error that names the way out, and no folder appears."""

    def refused(self, tmp_path, cache, run, message, name="mine", **how):
        (tmp_path / "bundles").mkdir()
        with pytest.raises(ValueError, match=message):
            bundled_of(run, tmp_path / "bundles" / name, cache=cache, **how)
        assert nothing_left(tmp_path / "bundles")

    def test_by_fewer_held_out_videos_than_exits(self, tmp_path, data, cache):
        run = make_run(tmp_path / "run", data, num_held_out=2)
        self.refused(tmp_path, cache, run, "2 held-out videos are fewer than the model's 3 exits")

    def test_by_a_folder_that_is_no_run(self, tmp_path, cache):
        (tmp_path / "run").mkdir()
        self.refused(tmp_path, cache, tmp_path / "run", "holds no readable run.json")

    def test_by_a_run_without_weights(self, tmp_path, data, cache):
        run = make_run(tmp_path / "run", data)
        (run / BEST).unlink()
        self.refused(tmp_path, cache, run, r"best\.safetensors cannot be read")

    def test_by_weights_of_another_network(self, tmp_path, data, cache):
        run = make_run(tmp_path / "run", data)
        save_file({"odd": torch.zeros(3)}, run / BEST)
        self.refused(tmp_path, cache, run, "the checkpoint does not fit")

    def test_by_weights_that_are_not_finite(self, tmp_path, data, cache):
        run = make_run(tmp_path / "run", data)
        tensors = load_file(run / BEST)
        tensors["classifier.glance_head.weight"][0, 0] = float("nan")
        save_file(tensors, run / BEST)
        self.refused(tmp_path, cache, run, "classifier.glance_head.weight is not finite")

    def test_by_a_baseline(self, tmp_path, data, cache):
        self.refused(tmp_path, cache, make_run(tmp_path / "run", data, baseline=True), "full_frame baseline")

    def test_by_a_name_that_is_none(self, tmp_path, data, cache):
        self.refused(
            tmp_path, cache, make_run(tmp_path / "run", data), "cannot be called 'My Bundle'", name="My Bundle"
        )

    def test_by_a_budget_out_of_range(self, tmp_path, data, cache):
        told = Told(default_budget_gflops=1e6)
        self.refused(tmp_path, cache, make_run(tmp_path / "run", data), "choose a budget between", told=told)

    def test_by_data_without_the_held_out_videos(self, tmp_path, data, cache):
        run = read_run(make_run(tmp_path / "a", data))
        gone = replace(run.data, held_out_files=("train/gone.mp4", *run.data.held_out_files))
        self.refused(tmp_path, cache, make_run(tmp_path / "run", data, used=gone), "1 of the 7 videos held out")

    def test_by_labels_the_run_does_not_know(self, tmp_path, data, cache):
        run = make_run(tmp_path / "run", data, labels=("drift", "waltz"))
        self.refused(tmp_path, cache, run, "labels that the model was not trained on: square")


def test_a_bundle_that_stands_is_replaced_only_when_told_to(tmp_path, data, cache):
    run = make_run(tmp_path / "run", data)
    first = bundled_of(run, tmp_path / "mine", cache=cache).bundle
    with pytest.raises(ValueError, match="is not overwritten"):
        bundled_of(run, tmp_path / "mine", told=Told(licence="MIT"), cache=cache)
    assert Bundle.read(tmp_path / "mine").digest == first.digest
    bundled_of(run, tmp_path / "mine", told=Told(licence="MIT"), cache=cache, replace=True)
    assert Bundle.read(tmp_path / "mine").manifest.licence == "MIT"


def test_a_weight_beyond_fp16_is_refused():
    with pytest.raises(ValueError, match="too large for fp16"):
        halved({"a.weight": torch.full((2, 2), 1e6)})


def test_the_command_tells_temperatures_and_errors(tmp_path, data, cache):
    run = make_run(tmp_path / "run", data)
    out = tmp_path / "mine"
    done = CliRunner().invoke(
        cli, ["calibrate", str(run), "--out", str(out), "--cache", str(cache), "--threads", "1", "--task", "t"]
    )
    assert done.exit_code == 0, done.output
    assert "calibration error" in done.output
    assert json.loads((out / "bundle.json").read_text())["task"] == "t"
