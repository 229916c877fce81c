"""Windows become segments, and a curve."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from service.timelines.segments import MAX_POINTS, Curve, Joiner
from service.timelines.values import Point, Segment, Sighting

LABELS = ("serve", "smash")


def sighting(number: int, serve: float | None, *, min_score: float = 0.0) -> Sighting:
    if serve is None:
        return Sighting(float(number), number + 1.0, None, 0.0, 10, None)
    known = np.array([serve, 1 - serve], np.float32)
    label = LABELS[int(known.argmax())] if known.max() >= min_score else None
    return Sighting(float(number), number + 1.0, known, 0.5, 10, label)


def joined(scores: Sequence[float | None], *, min_score: float = 0.0, merge: bool = True) -> list[Segment]:
    joiner = Joiner(len(LABELS), merge=merge)
    told = [
        segment
        for number, score in enumerate(scores)
        for segment in joiner.take(sighting(number, score, min_score=min_score))
    ]
    return told + list(joiner.end())


def test_neighbours_of_one_label_are_one_segment_with_their_mean_and_all_that_they_cost() -> None:
    first, second = joined([0.9, 0.7, 0.2])
    assert (first.start_s, first.end_s, first.label, first.spent_flops, first.num_windows) == (0, 2, "serve", 20, 2)
    assert first.probabilities_C is not None
    assert first.probabilities_C[0] == pytest.approx(0.8)
    assert (second.start_s, second.end_s, second.label) == (2, 3, "smash")


def test_a_window_that_scores_too_little_has_no_label_and_neither_has_one_that_nobody_looked_at() -> None:
    labels = [(segment.label, segment.num_windows) for segment in joined([0.9, 0.55, None, 0.9], min_score=0.6)]
    assert labels == [("serve", 1), (None, 2), ("serve", 1)]


def test_what_nobody_looked_at_says_so_and_does_not_dilute_the_mean() -> None:
    (unseen,) = joined([None])
    assert (unseen.probabilities_C, unseen.entropy_nats) == (None, None)
    (mixed,) = joined([0.55, None], min_score=0.6)
    assert mixed.probabilities_C is not None
    assert mixed.probabilities_C[0] == pytest.approx(0.55)


def test_without_merging_every_window_is_a_segment() -> None:
    assert [segment.num_windows for segment in joined([0.9, 0.9, 0.9], merge=False)] == [1, 1, 1]


def test_segments_follow_each_other_without_gap_or_overlap() -> None:
    told = joined([0.9, 0.1, 0.1, None, 0.9, 0.6])
    assert told[0].start_s == 0
    assert told[-1].end_s == 6
    assert all(one.end_s == other.start_s for one, other in pairwise(told))


def test_a_segment_is_told_as_soon_as_the_next_label_comes() -> None:
    joiner = Joiner(len(LABELS), merge=True)
    assert list(joiner.take(sighting(0, 0.9))) == []
    assert [segment.label for segment in joiner.take(sighting(1, 0.1))] == ["serve"]


@pytest.mark.parametrize("count", [1, 1999, 2000, 100_000])
def test_a_curve_stays_small_however_long_the_video_and_keeps_its_peaks(count: int) -> None:
    curve = Curve()
    for number in range(count):
        curve.take(Point(float(number), "serve", 1.0 if number == count // 3 else 0.5, 0.1, float(number)))
    points = curve.points()
    assert min(count, MAX_POINTS) <= len(points) <= 2 * MAX_POINTS
    assert max(point.score for point in points) == 1.0
    assert [point.time_s for point in points] == sorted(point.time_s for point in points)
