"""A bundle that nobody has calibrated says so: all steps are taken, no budget below them is promised, nothing is
measured."""

import json
from pathlib import Path

import pytest

from models.bundle import Bundle, write_bundle
from models.bundle_format import (
    CALIBRATION,
    CALIBRATION_SET,
    MANIFEST,
    Architecture,
    BundleError,
    Card,
    Description,
    Framing,
    Provenance,
)
from models.calibration import NOT_CALIBRATED, not_calibrated
from models.listing import read_listing
from models.loading import load_model
from models.runtime import RuntimeConfig
from models.thresholds import NEVER_NATS
from models.timesformer.config import tiny
from models.timesformer.costs import step_flops
from models.timesformer.network import build_network

CONFIG = tiny(num_classes=3)
STEPS = step_flops(CONFIG)
LABELS = ("left", "right", "up")


def description(name: str = "raw", **changes: object) -> Description:
    values = {
        "name": name,
        "task": "directions",
        "labels": LABELS,
        "trained": True,
        "architecture": Architecture(family="timesformer", config=CONFIG.to_dict()),
        "clip": Framing(sampling="window", resize="three_crops", source_short_side_px=None, window_s=1.5),
        "default_budget_gflops": sum(STEPS) / 1e9,
        "licence": "CC-BY-NC 4.0",
        "provenance": Provenance(data="unknown", recipe="imported", seed=0, commit=None),
        "card": Card(intended_use="tests", limits="tests"),
        "calibration": "none",
        "measured": None,
    }
    return Description(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    weights = build_network(CONFIG, seed=0).state_dict()
    return write_bundle(tmp_path, description(), weights, not_calibrated(STEPS, [1.0, 2.0, 3.0]))


def test_it_is_written_and_read_without_a_calibration_set(bundle: Bundle) -> None:
    again = Bundle.read(bundle.folder)
    assert again.digest == bundle.digest == read_listing(bundle.folder).digest
    assert not again.calibrated
    assert again.calibration.temperatures_K == (1.0, 2.0, 3.0)
    assert not (bundle.folder / CALIBRATION_SET).exists()
    assert json.loads((bundle.folder / MANIFEST).read_text())["calibration"] == "none"


def test_its_only_budget_is_the_full_cost_and_no_step_is_the_last(bundle: Bundle) -> None:
    (point,) = bundle.grid.points
    assert point.budget_flops == sum(STEPS)
    assert point.solution.thresholds_nats == (NEVER_NATS, NEVER_NATS)
    with pytest.raises(ValueError, match="below the"):
        bundle.grid.at(sum(STEPS) - 1)


def test_it_has_no_frontier_and_its_card_says_why(bundle: Bundle) -> None:
    assert bundle.frontier == ()
    assert dict(bundle.card)["Calibrated on"] == NOT_CALIBRATED
    assert dict(bundle.card)["Measured on"] == "nothing yet"
    assert dict(bundle.card)["Licence"] == "CC-BY-NC 4.0"


def test_its_window_travels_with_it(bundle: Bundle) -> None:
    assert bundle.clip_rule.window_s == 1.5
    assert bundle.clip_rule.resize == "three_crops"
    assert load_model(bundle.folder, runtime=RuntimeConfig(name="torch")).recognizer.clip_rule == bundle.clip_rule


def test_what_claims_to_be_calibrated_must_be_measured_and_the_other_way_round() -> None:
    with pytest.raises(ValueError, match="what is calibrated is measured"):
        description(calibration="solved")
    with pytest.raises(ValueError, match="window_s belongs to the sampling 'window'"):
        Framing(sampling="uniform", resize="three_crops", source_short_side_px=None, window_s=1.5)


def test_a_default_budget_that_it_cannot_keep_to_is_refused(tmp_path: Path) -> None:
    weights = build_network(CONFIG, seed=0).state_dict()
    wrong = description(default_budget_gflops=STEPS[0] / 1e9)
    with pytest.raises(BundleError, match="without calibration the least is"):
        write_bundle(tmp_path, wrong, weights, not_calibrated(STEPS, [1.0, 1.0, 1.0]))
    assert not list(tmp_path.iterdir())


def test_thresholds_in_an_uncalibrated_bundle_are_refused(bundle: Bundle) -> None:
    path = bundle.folder / CALIBRATION
    content = json.loads(path.read_text())
    content["grid"][0]["thresholds_nats"] = [0.5, 0.5]
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match="without calibration there is one budget"):
        Bundle.read(bundle.folder)
