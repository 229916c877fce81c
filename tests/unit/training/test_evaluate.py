"""`fovea evaluate`: from a bundle or a baseline's run to figures, plots and pictures of the user's own videos."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import cli
from models.runtime import RuntimeConfig
from tests.unit.training.trained import make_data, make_run
from training.bundling import Told, bundle_run
from training.judge.evaluate import OBSERVATIONS, evaluate
from training.judge.observations import Observations
from training.judge.results import RESULT, read_result

ONE_THREAD = RuntimeConfig(name="torch", precision="fp32", num_threads=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data, a bundle and a baseline's run on it."""
    folder = tmp_path_factory.mktemp("place")
    data = make_data(folder / "strokes")
    bundle_run(make_run(folder / "run", data), folder / "mine", told=Told(), cache=folder / "cache", num_threads=1)
    make_run(folder / "tsn-plus", data, baseline=True)
    return folder


@pytest.fixture(scope="module")
def evaluated(place):
    """The baseline first, then the bundle against it."""
    both = {}
    for name, against in (("tsn-plus", []), ("mine", [place / "results" / "tsn-plus" / OBSERVATIONS])):
        both[name] = evaluate(
            place / name, place / "strokes", place / "results" / name, split="val", cache=place / "cache",
            against=against, num_pictures=1, runtime=ONE_THREAD,
        )  # fmt: skip
    return both


def test_a_bundle_is_scored_with_its_own_thresholds_and_random_cubes(place, evaluated):
    result = evaluated["mine"]
    assert (result.model, result.split, result.data) == ("mine", "val", "strokes")
    assert (len(result.depths), len(result.step_flops)) == (3, 3)
    assert {point.coordinates for point in result.random} == {"space-time", "space", "time"}
    assert result.budgets[0].mean_gflops.value == pytest.approx(result.depths[0].gflops)
    assert all(step_ms > 0 for step_ms in result.step_ms_K)


def test_its_figures_are_those_in_the_bundle(place, evaluated):
    """`fovea calibrate` measured on the same split: two ways to the same numbers."""
    points = json.loads((place / "mine" / "bundle.json").read_text())["measured"]["points"]
    for point, told in zip(evaluated["mine"].budgets, points, strict=True):
        assert list(point.exits[0].videos_by_last_step_K) == told["videos_by_last_step_K"]
        assert round(8 * point.scores[0].top1.value) == told["correct"]


def test_it_is_compared_with_the_baseline_on_the_same_videos(evaluated):
    baseline, (comparison,) = evaluated["tsn-plus"], evaluated["mine"].comparisons
    assert comparison.other == "tsn-plus"
    assert comparison.other_scores == baseline.depths[0].scores
    ours, theirs = evaluated["mine"].depths[-1].scores[0].top1.value, baseline.depths[0].scores[0].top1.value
    assert comparison.points[0].difference.value == pytest.approx(ours - theirs)


def test_a_baseline_has_one_depth_and_no_budgets(evaluated):
    result = evaluated["tsn-plus"]
    assert (len(result.depths), result.budgets, result.random) == (1, (), ())


def test_groups_that_were_trained_on_too_are_told(place, tmp_path):
    table = place / "strokes" / "shared.csv"
    table.write_text((place / "strokes" / "labels.csv").read_text().replace(",val0,", ",train5,"))
    result = evaluate(
        place / "tsn-plus", table, tmp_path, split="val", cache=place / "cache", num_pictures=0, runtime=ONE_THREAD
    )
    assert result.data == "shared (OPTIMISTIC: 1 of its groups occur in training too)"


def test_all_is_written_down(place, evaluated):
    folder = place / "results" / "mine"
    assert read_result(folder / RESULT) == evaluated["mine"]
    assert Observations.load(folder / OBSERVATIONS).num_videos == 8
    assert {"trade-off.png", "exits.png", "confusion.png"} <= {path.name for path in folder.iterdir()}
    assert all(path.name.startswith(("easy-", "hard-")) for path in (folder / "pictures").iterdir())
    assert any((folder / "pictures").iterdir())
    assert str(place) not in (folder / RESULT).read_text(), "a result names no path of the machine"


class TestRefusals:
    def refused(self, place, folder, message, **how):
        out = place / "refused"
        with pytest.raises(ValueError, match=message):
            evaluate(folder, place / "strokes", out, **{"split": "val", "cache": place / "cache", **how})
        assert not out.exists()

    def test_a_folder_that_is_neither_bundle_nor_run(self, place):
        self.refused(place, place / "strokes", "neither a bundle")

    def test_a_run_that_has_no_thresholds_yet(self, place):
        self.refused(place, place / "run", "make a bundle of it with `fovea calibrate` first")

    def test_a_split_without_videos(self, place):
        self.refused(place, place / "mine", "no video is in the split 'test'", split="test")

    def test_observations_that_are_none(self, place):
        self.refused(place, place / "mine", "holds no observations", against=[place / "strokes" / "labels.csv"])


def test_the_commands_print_and_report(place, evaluated, tmp_path):
    against = place / "results" / "tsn-plus" / OBSERVATIONS
    stale = tmp_path / "results" / "compact" / "pictures" / "easy-glance-gone.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    arguments = [
        "evaluate",
        str(place / "mine"),
        str(place / "strokes"),
        "--out",
        str(tmp_path / "results" / "compact"),
    ]
    options = [
        "--cache",
        str(place / "cache"),
        "--against",
        str(against),
        "--random-draws",
        "0",
        "--pictures",
        "0",
        "--threads",
        "1",
    ]
    done = CliRunner().invoke(cli, arguments + options)
    assert done.exit_code == 0, done.output
    assert "minus tsn-plus" in done.output
    assert not stale.exists(), "pictures of an earlier evaluation go"
    page = tmp_path / "RESULTS.md"
    done = CliRunner().invoke(cli, ["report", str(tmp_path / "results"), "--out", str(page)])
    assert done.exit_code == 0, done.output
    assert "not run: compact-16-frames-tsn-plus, compact-tsn-plus" in done.output
    assert "Against `tsn-plus`" in page.read_text()
