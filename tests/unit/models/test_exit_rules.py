"""When a video stops, where thresholds differ between labels, and how offsets follow from a calibration set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.exit_rules import MAX_OFFSET_NATS, LabelOffsets, no_offsets, stops
from models.label_offsets import BACKING, LEAST_VIDEOS, label_offsets
from models.smoothed_correctness import smoothed_correctness
from models.thresholds import ALWAYS_NATS, NEVER_NATS, entropy_nats, exit_steps

NUM_LABELS = 4


@st.composite
def answers(draw, max_videos=60):
    """Entropies, correctness and top labels of drawn videos with three exits."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits_NKC = rng.normal(size=(draw(st.integers(1, max_videos)), 3, NUM_LABELS)) * draw(st.sampled_from([0, 1, 30]))
    correct_NK = rng.random(logits_NKC.shape[:2]) < 0.6
    return entropy_nats(logits_NKC).astype(np.float32), correct_NK, logits_NKC.argmax(axis=2)


def told_apart(num_each, gains=(0.0, 0.0, 1.0)):
    """Videos of two exits and equal spread of entropy; of label c the second exit is right where the first was not, as
    often as `gains[c]` says."""
    entropy_N = np.tile(np.linspace(0.1, 1.3, num_each), len(gains))
    label_N = np.repeat(np.arange(len(gains)), num_each)
    correct_NK = np.zeros((len(entropy_N), 2), dtype=bool)
    for label, gain in enumerate(gains):
        rows = np.flatnonzero(label_N == label)
        correct_NK[rows[len(rows) - round(gain * len(rows)) :], 1] = True  # the least certain ones
    return np.stack([entropy_N, entropy_N], axis=1).astype(np.float32), correct_NK, np.stack([label_N, label_N], axis=1)


def test_a_label_that_gains_nothing_by_another_cube_may_stop_sooner_and_one_that_does_later():
    ((least, _, most),) = label_offsets(*told_apart(100, gains=(0.0, 0.3, 0.9)), 3).nats
    assert least > 0 > most


def test_a_label_of_three_calibration_videos_falls_back_to_the_shared_threshold():
    entropy_NK, correct_NK, label_NK = told_apart(100, gains=(0.0, 0.5))
    (offsets,) = label_offsets(
        np.concatenate([entropy_NK, entropy_NK[:3]]),
        np.concatenate([correct_NK, np.array([[False, True]] * 3)]),
        np.concatenate([label_NK, np.full((3, 2), 2)]),
        4,
    ).nats
    assert offsets[2:] == (0.0, 0.0)  # and so does one that nobody said
    assert 0.0 not in offsets[:2]


def test_an_offset_grows_with_the_videos_that_back_it():
    offsets = [label_offsets(*told_apart(num, gains=(0.2, 0.5)), 2).nats[0][0] for num in (LEAST_VIDEOS, 20, 200)]
    assert 0 < offsets[0] < offsets[1] < offsets[2]
    assert label_offsets(*told_apart(20, gains=(0.2, 0.5)), 2, backing=0).nats[0][0] > offsets[1]
    assert BACKING > 0


def test_where_all_entropies_are_nearly_equal_the_label_alone_does_not_decide():
    entropy_NK, correct_NK, label_NK = told_apart(100)
    nearly_NK = (1.0 + 1e-3 * entropy_NK).astype(np.float32)
    assert np.abs(label_offsets(nearly_NK, correct_NK, label_NK, 3).nats).max() <= 2 * nearly_NK[:, 0].std() + 1e-9


@given(answers())
@settings(max_examples=60, deadline=None)
def test_offsets_of_any_calibration_set_are_bounded_so_that_never_and_always_keep_their_meaning(videos):
    entropy_NK, correct_NK, label_NK = videos
    offsets = label_offsets(entropy_NK, correct_NK, label_NK, NUM_LABELS)
    held_NK = offsets.less(entropy_NK, label_NK)
    assert exit_steps(held_NK, (NEVER_NATS, NEVER_NATS)).tolist() == [2] * len(held_NK)
    assert exit_steps(held_NK, (ALWAYS_NATS, NEVER_NATS)).tolist() == [0] * len(held_NK)


@given(answers())
@settings(max_examples=30, deadline=None)
def test_without_offsets_the_rule_is_eq_7(videos):
    entropy_NK, _, label_NK = videos
    assert (no_offsets(3, NUM_LABELS).less(entropy_NK, label_NK) == entropy_NK).all()


@given(answers(), st.floats(0, 1.5))
@settings(max_examples=60, deadline=None)
def test_one_video_at_a_time_stops_where_the_whole_set_does(videos, threshold):
    entropy_NK, correct_NK, label_NK = videos
    offsets = label_offsets(entropy_NK, correct_NK, label_NK, NUM_LABELS)
    steps_N = exit_steps(offsets.less(entropy_NK, label_NK), (threshold, threshold))
    for entropy_K, label_K, step in zip(entropy_NK, label_NK, steps_N, strict=True):
        taken = next(
            (
                k
                for k, row in enumerate(offsets.nats)
                if stops(float(entropy_K[k]), threshold + 1e-6, row, int(label_K[k]))
            ),
            2,
        )
        sooner = next(
            (
                k
                for k, row in enumerate(offsets.nats)
                if stops(float(entropy_K[k]), threshold - 1e-6, row, int(label_K[k]))
            ),
            2,
        )
        assert taken <= step <= sooner  # equal but for rounding


@pytest.mark.parametrize("nats", [((MAX_OFFSET_NATS + 0.01,),), ((float("nan"),),), ((0.0, 0.0), (0.0,))])
def test_offsets_that_could_undo_never_or_miss_a_label_are_refused(nats):
    with pytest.raises(ValueError, match="calibrate again"):
        LabelOffsets(nats)


@given(answers())
@settings(max_examples=60, deadline=None)
def test_smoothed_correctness_is_a_probability_and_keeps_each_exits_mean(videos):
    entropy_NK, correct_NK, _ = videos
    worth_NK = smoothed_correctness(entropy_NK, correct_NK)
    assert ((worth_NK > 0) & (worth_NK < 1)).all()
    assert worth_NK.mean(axis=0) == pytest.approx(correct_NK.mean(axis=0), abs=0.51 / len(correct_NK) + 1e-3)


def test_smoothed_correctness_falls_where_less_certain_answers_are_more_often_wrong():
    rng = np.random.default_rng(0)
    entropy_NK = rng.uniform(0, 1, (400, 2)).astype(np.float32)
    correct_NK = rng.random((400, 2)) > entropy_NK
    worth_NK = smoothed_correctness(entropy_NK, correct_NK)
    order_N = entropy_NK[:, 0].argsort()
    assert (np.diff(worth_NK[order_N, 0]) <= 0).all()
