"""The open-set score: fitted on drawn features and on footage made here, kept in a bundle, refused where it misfits."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models import BundleError
from models.adafocus.shapes import tiny
from models.bundle import Bundle, write_bundle
from models.bundle_format import Description, OpenSetFacts
from models.loading import load_network
from models.open_set import OpenSetScore, unit_features
from models.open_set_file import open_set_file, read_open_set
from tests.tiny import knows_red
from training.data.negatives import GENERATORS, KINDS, Generator, make_negative, make_negatives
from training.data.synthetic import LABELS
from training.judge.calibrate import majority_share
from training.judge.open_set import Negatives, auroc, fit_open_set
from training.judge.open_set_result import (
    OpenSetResult,
    open_set_section,
    outside_rows,
    read_open_set_result,
    write_open_set_result,
)
from training.untrained import build_untrained
from video.clip import ClipRule, VideoLimits
from video.file.decode import decode

NUM_FEATURES, NUM_CLASSES, NUM_CLIPS = 40, 3, 120


def drawn(seed: int, num: int, middle: float) -> NDArray[np.float64]:
    return np.random.default_rng(seed).gamma(2.0, 1.0, (num, NUM_FEATURES)) + middle * (np.arange(NUM_FEATURES) % 2)


def negatives(seed: int, *, real: bool = True) -> Negatives:
    kinds = ("",) * 12 * real + ("noise",) * 12
    return Negatives(drawn(seed, len(kinds), 4.0), kinds, tuple(f"{kind} {n // 2}" for n, kind in enumerate(kinds)))


def in_domain_clips() -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
    labels_N = np.arange(NUM_CLIPS) % NUM_CLASSES
    features_ND = drawn(0, NUM_CLIPS, 0.0)
    features_ND[:, :NUM_CLASSES] += 3 * np.eye(NUM_CLASSES)[labels_N]
    return features_ND, labels_N, [f"group{n // 6}" for n in range(NUM_CLIPS)]


@pytest.fixture(scope="module")
def score() -> OpenSetScore:
    return fit_open_set(*in_domain_clips(), NUM_CLASSES, negatives(1), negatives(2), data="drawn features")


def test_in_domain_is_a_probability_high_for_clips_of_the_classes_and_low_for_others(score: OpenSetScore) -> None:
    inside = [score.in_domain(features_D) for features_D in drawn(3, 30, 0.0)]
    outside = [score.in_domain(features_D) for features_D in drawn(4, 30, 4.0)]
    assert all(0 <= value <= 1 for value in inside + outside)
    assert auroc(np.array(inside), np.array(outside)) > 0.95
    assert score.facts.auroc is not None
    assert score.facts.auroc > 0.95


def test_the_threshold_keeps_nineteen_in_domain_clips_of_twenty(score: OpenSetScore) -> None:
    assert score.facts.kept == pytest.approx(0.95, abs=0.01)


def test_without_real_negatives_nothing_is_said_of_real_footage() -> None:
    fitted = fit_open_set(
        *in_domain_clips(), NUM_CLASSES, negatives(1, real=False), negatives(2, real=False), data="drawn"
    )
    assert fitted.facts.auroc is None
    assert fitted.facts.auroc_synthetic > 0.9


def test_features_that_are_all_nothing_are_no_accident(score: OpenSetScore) -> None:
    assert np.isfinite(unit_features(np.zeros((1, NUM_FEATURES)))).all()
    assert 0 <= score.in_domain(np.zeros(NUM_FEATURES)) <= 1


def test_features_of_another_number_or_not_finite_are_refused(score: OpenSetScore) -> None:
    with pytest.raises(ValueError, match="fitted on"):
        score.in_domain(np.zeros(NUM_FEATURES + 1))
    with pytest.raises(FloatingPointError, match="not finite"):
        score.in_domain(np.full(NUM_FEATURES, np.nan))


def test_a_class_without_clips_and_a_single_group_are_refused() -> None:
    features_ND, labels_N, groups_N = in_domain_clips()
    with pytest.raises(ValueError, match=r"classes \[3\] have no clips"):
        fit_open_set(features_ND, labels_N, groups_N, 4, negatives(1), negatives(2), data="drawn")
    with pytest.raises(ValueError, match="two groups or more"):
        fit_open_set(features_ND, labels_N, ["one"] * NUM_CLIPS, NUM_CLASSES, negatives(1), negatives(2), data="drawn")


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda one: f"{one.kind}, {one.name}")
def test_synthetic_footage_is_a_video_like_any_other_and_the_same_each_time(
    generator: Generator, tmp_path: Path
) -> None:
    first, again = (make_negative(tmp_path / place, generator, 0) for place in ("a", "b"))
    limits = VideoLimits(duration_s=10, frame_pixels=10**6, frames=1000)
    clips = [
        decode(str(one.path), ClipRule(num_frames=4, height_px=32, width_px=48, resize="stretch"), limits)
        for one in (first, again)
    ]
    differ = np.abs(clips[0].frames_THWC.astype(int) - clips[1].frames_THWC).mean()
    assert differ < 1, "but for what an encoder's threads, and libav's mandelbrot, change"
    moves = np.abs(np.diff(clips[0].frames_THWC.astype(int), axis=0)).max() > 0
    assert moves or generator.kind in ("black", "test_pattern", "screen") or generator.name == "still noise"


@pytest.mark.parametrize("kind", KINDS)
def test_of_each_kind_some_generators_are_fitted_on_and_others_measure(kind: str) -> None:
    assert {one.measures for one in GENERATORS if one.kind == kind} == {True, False}


def test_footage_that_lies_there_is_not_made_again(tmp_path: Path) -> None:
    made = make_negatives(tmp_path)
    times = [one.path.stat().st_mtime_ns for one in made]
    assert [one.path.stat().st_mtime_ns for one in make_negatives(tmp_path)] == times
    assert {path.name for path in tmp_path.iterdir()} == {one.path.name for one in made}


def test_the_majority_is_that_of_each_videos_source() -> None:
    assert majority_share(np.array([0, 0, 1, 2, 2, 3]), ["a", "a", "a", "b", "b", "b"]) == pytest.approx(4 / 6)


@pytest.fixture(scope="module")
def with_score(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle with a score of four classes."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    bundle, _ = build_untrained(folder, config=tiny(len(LABELS)), num_clips=8)
    features_ND, _, groups_N = in_domain_clips()
    labels_N = np.arange(NUM_CLIPS) % len(LABELS)
    score = fit_open_set(features_ND, labels_N, groups_N, len(LABELS), negatives(1), negatives(2), data="drawn")
    values = {name: getattr(bundle.manifest, name) for name in Description.model_fields}
    weights = load_network(bundle).state_dict()
    write_bundle(folder.parent, Description(**values), weights, bundle.calibration, replace=True, open_set=score)
    return folder


def test_a_bundle_gives_back_the_score_it_was_written_with_and_its_card_tells(with_score: Path) -> None:
    bundle = Bundle.read(with_score)
    assert bundle.open_set is not None
    assert isinstance(bundle.manifest.open_set, OpenSetFacts)
    assert 0 <= bundle.open_set.in_domain(drawn(5, 1, 0.0)[0]) <= 1
    assert "AUROC" in dict(bundle.card)["Open set"]


def test_a_score_with_a_linear_discriminant_as_older_bundles_have_is_read_as_it_was(tmp_path: Path) -> None:
    old = knows_red()
    (tmp_path / "open_set.safetensors").write_bytes(open_set_file(old))
    read = read_open_set(tmp_path, old.facts, 3)
    assert read is not None
    for red, green, blue in ((1, 0, 0), (0, 0, 1), (0.3, 0.4, 0.3)):
        assert read.in_domain(np.array([red, green, blue])) == old.in_domain(np.array([red, green, blue]))


def test_a_bundle_without_a_score_is_read_and_says_so(with_score: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(with_score, tmp_path / "tiny"))
    (old / "open_set.safetensors").unlink()
    manifest = json.loads((old / "bundle.json").read_text())
    del manifest["open_set"]
    (old / "bundle.json").write_text(json.dumps(manifest))
    assert Bundle.read(old).open_set is None
    assert "no score" in dict(Bundle.read(old).card)["Open set"]


def test_a_score_that_is_missing_damaged_or_of_other_classes_is_refused_by_name(
    with_score: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(with_score, tmp_path / "tiny"))
    (copied / "open_set.safetensors").write_bytes(b"rubbish")
    with pytest.raises(BundleError, match=r"open_set\.safetensors"):
        Bundle.read(copied)
    (copied / "open_set.safetensors").unlink()
    with pytest.raises(BundleError, match=r"open_set\.safetensors"):
        Bundle.read(copied)


def test_a_bundle_below_the_majority_of_its_sources_says_so(with_score: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(with_score, tmp_path / "tiny"))
    assert not Bundle.read(copied).below_majority
    calibration = json.loads((copied / "calibration.json").read_text()) | {"majority_share": 1.0}
    (copied / "calibration.json").write_text(json.dumps(calibration))
    bundle = Bundle.read(copied)
    assert bundle.below_majority
    assert "never takes it" in dict(bundle.card)["Calibrated on"]


def test_a_card_tells_the_accuracy_beside_that_of_the_most_frequent_class(with_score: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(with_score, tmp_path / "tiny"))
    calibration = json.loads((copied / "calibration.json").read_text()) | {"majority_share": 0.001}
    (copied / "calibration.json").write_text(json.dumps(calibration))
    bundle = Bundle.read(copied)
    told = dict(bundle.card)["Calibrated on"]
    assert f"right in at most {bundle.calibration.best_accuracy:.1%} of these videos" in told
    assert "right in 0.1%" in told
    assert "never takes it" not in told


def test_what_was_measured_is_kept_and_makes_a_section_of_the_results(tmp_path: Path) -> None:
    rows = outside_rows(np.array([0.8, 0.9]), {"noise": np.array([0.1, 0.85]), "empty": np.array([])}, 0.5)
    result = OpenSetResult(
        model="m", digest="sha256:0", fitted_on="f", data="d", videos=2, threshold=0.5, kept=1.0,
        median_in_domain=0.85, outside=rows,
    )  # fmt: skip
    write_open_set_result(tmp_path, result)
    (tmp_path / "broken.json").write_text("{}")
    assert read_open_set_result(tmp_path / "open_set.json") == result
    assert "| noise | 2 | 0.7500 | 50 | 0.475 |" in open_set_section([result])
    with pytest.raises(ValueError, match="no result of an open-set score"):
        read_open_set_result(tmp_path / "broken.json")
