"""The untrained bundle: the same for everybody, honest about itself, and still worth trying budgets on."""

import json

import numpy as np
import pytest

from models.adafocus.shapes import tiny
from models.bundle import Bundle
from models.bundle_format import BundleError
from models.thresholds import exit_steps
from training.data.synthetic import LABELS, synthetic_clips
from training.untrained import build_untrained
from video.clip import ClipRule

CONFIG = tiny(len(LABELS))


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Bundle:
    bundle, fresh = build_untrained(tmp_path_factory.mktemp("built") / "tiny", config=CONFIG, num_clips=32)
    assert fresh
    return bundle


def test_says_that_it_is_untrained_and_what_that_means(built):
    assert not built.trained
    assert "mean nothing" in dict(built.card)["Limits"]
    assert built.manifest.provenance.data == "none"
    assert built.manifest.provenance.commit is None


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(built, tmp_path):
    again, _ = build_untrained(tmp_path / "tiny", config=CONFIG, num_clips=32)
    other, _ = build_untrained(tmp_path / "other" / "tiny", seed=1, config=CONFIG, num_clips=32)
    assert again.digest == built.digest
    assert other.digest != built.digest


def test_entropies_differ_between_videos_at_every_exit(built):
    assert (built.calibration.entropy_NK.std(axis=0) > 0.05).all()


def test_the_default_budget_sends_some_videos_further_than_others(built):
    thresholds = built.grid.at(built.default_budget_flops).thresholds_nats
    assert len(set(exit_steps(built.calibration.entropy_NK, thresholds))) >= 2


def test_an_intact_one_is_kept_and_a_damaged_one_is_built_anew(built, tmp_path):
    folder = tmp_path / "tiny"
    bundle, _ = build_untrained(folder, config=CONFIG, num_clips=32)
    kept, fresh = build_untrained(folder, config=CONFIG, num_clips=32)
    assert (kept.digest, fresh) == (bundle.digest, False)
    (folder / "weights.safetensors").write_bytes(b"damaged")
    mended, fresh = build_untrained(folder, config=CONFIG, num_clips=32)
    assert (mended.digest, fresh) == (bundle.digest, True)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_trained_bundle_is_never_replaced(built, tmp_path, damaged):
    bundle, _ = build_untrained(tmp_path / "tiny", config=CONFIG, num_clips=32)
    manifest = bundle.folder / "bundle.json"
    content = json.loads(manifest.read_text()) | {"trained": True} | ({"stray": 1} if damaged else {})
    manifest.write_text(json.dumps(content))
    before = manifest.read_bytes()
    with pytest.raises(BundleError if damaged else ValueError, match=r"stray|trained bundle stands"):
        build_untrained(bundle.folder, config=CONFIG, num_clips=32)
    assert manifest.read_bytes() == before


class TestSyntheticMotion:
    SPEC = ClipRule(8, 64, 48, "letterbox")

    def test_has_each_label_as_often_and_depends_on_the_seed_alone(self):
        first, again, other = (list(synthetic_clips(self.SPEC, 8, seed)) for seed in (5, 5, 6))
        assert sorted(label for _, label in first) == [0, 0, 1, 1, 2, 2, 3, 3]
        assert first[0][0].shape == (8, 64, 48, 3)
        for (frames, _), (same, _), (others, _) in zip(first, again, other, strict=True):
            assert np.array_equal(frames, same)
            assert not np.array_equal(frames, others)

    def test_what_changes_between_first_and_last_frame_lies_where_the_label_says(self):
        for frames_THWC, label in synthetic_clips(self.SPEC, 24, seed=5):
            moved_TN = [self.centre(frames_THWC, t) for t in (1, -1)]
            drift_yx = moved_TN[1] - moved_TN[0]
            axis, sign = {"left": (1, -1), "right": (1, 1), "up": (0, -1), "down": (0, 1)}[LABELS[label]]
            assert sign * drift_yx[axis] > abs(drift_yx[1 - axis])

    def centre(self, frames_THWC, t):
        """Where frame t differs from the clip's median picture, noise aside."""
        difference_HW = np.abs(frames_THWC[t] - np.median(frames_THWC, axis=0)).sum(axis=2)
        weight_HW = np.where(difference_HW > 0.7 * difference_HW.max(), difference_HW, 0)
        return np.array(
            [(weight_HW.sum(axis=1 - i) * np.arange(n)).sum() / weight_HW.sum() for i, n in enumerate((64, 48))]
        )
