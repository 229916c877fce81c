"""Observations: one file that evaluates anything, strict about what fits together."""

from dataclasses import replace

import numpy as np
import pytest

from models.thresholds import entropy_nats
from tests.unit.training.drawing import CLASSES, dealt, draw
from training.judge.observations import Observations


def reordered(seen, rows):
    names = ("paths_N", "groups_N", "sources_N")
    taken = {name: tuple(getattr(seen, name)[row] for row in rows) for name in names}
    return replace(seen, **taken, labels_N=seen.labels_N[rows], log_probs_NKC=seen.log_probs_NKC[rows])


def test_come_back_from_a_file_as_they_were(tmp_path):
    seen = draw(num_videos=7)
    seen.save(tmp_path / "deep" / "seen.npz")
    again = Observations.load(tmp_path / "deep" / "seen.npz")
    np.testing.assert_array_equal(again.log_probs_NKC, seen.log_probs_NKC)
    np.testing.assert_array_equal(again.labels_N, seen.labels_N)
    for name in (
        "model",
        "split",
        "classes_C",
        "paths_N",
        "groups_N",
        "sources_N",
        "step_flops_K",
        "seconds_K",
        "executor",
    ):
        assert getattr(again, name) == getattr(seen, name), name
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["seen.npz"]


def test_prices_keep_the_name_that_they_had_in_files(tmp_path):
    draw(num_videos=7).save(tmp_path / "seen.npz")
    with np.load(tmp_path / "seen.npz") as arrays:
        assert "costs_K" in arrays
        assert "step_flops_K" not in arrays


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"plain text"])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "seen.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"seen\.npz"):
        Observations.load(path)


def test_a_missing_file_and_another_format_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no observations"):
        Observations.load(tmp_path / "nowhere.npz")
    np.savez(tmp_path / "next.npz", format=np.asarray(2))
    with pytest.raises(ValueError, match="has format 2"):
        Observations.load(tmp_path / "next.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_flops_K": (1, 2)}, "2 costs do not fit"),
        ({"classes_C": CLASSES[:2]}, "2 classes do not fit"),
        ({"labels_N": np.full(96, 4)}, "labels must lie in 0..3"),
        ({"log_probs_NKC": np.full((96, 4, 4), np.nan, np.float32)}, "finite"),
        ({"paths_N": ("val/a.mp4",) * 96}, "a video is there twice"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(draw(), **change)


def test_a_temperature_changes_entropies_and_no_answer():
    seen = draw()
    temperatures = (0.5, 1.0, 2.0, 4.0)
    tempered = seen.tempered(temperatures)
    np.testing.assert_allclose(np.exp(tempered).sum(axis=2), 1)
    assert (tempered.argmax(axis=2) == seen.log_probs_NKC.argmax(axis=2)).all()
    np.testing.assert_allclose(seen.entropies(temperatures), entropy_nats(tempered), atol=1e-5)


class TestJoined:
    def test_all_rows_are_there_in_order(self):
        seen = draw(num_videos=7)
        parts = [reordered(seen, range(3)), reordered(seen, range(3, 7))]
        again = Observations.joined(parts)
        assert (again.paths_N, again.groups_N, again.sources_N) == (seen.paths_N, seen.groups_N, seen.sources_N)
        np.testing.assert_array_equal(again.log_probs_NKC, seen.log_probs_NKC)
        np.testing.assert_array_equal(again.labels_N, seen.labels_N)

    def test_of_other_costs_are_refused(self):
        seen = draw(num_videos=4)
        dearer = replace(reordered(seen, [2, 3]), step_flops_K=tuple(2 * cost for cost in seen.step_flops_K))
        with pytest.raises(ValueError, match="differ in labels or costs"):
            Observations.joined([reordered(seen, [0, 1]), dearer])

    def test_of_a_video_in_two_parts_are_refused(self):
        seen = draw(num_videos=4)
        with pytest.raises(ValueError, match="there twice"):
            Observations.joined([seen, reordered(seen, [0])])


class TestSeveralDeals:
    """Of the folds: a row for every video in each."""

    def test_count_a_video_once_and_come_back_from_a_file(self, tmp_path):
        seen = dealt([draw(seed=0), draw(seed=0, sharpness=2.0)])
        assert (seen.num_deals, seen.num_rows, seen.num_videos) == (2, 192, 96)
        seen.save(tmp_path / "seen.npz")
        again = Observations.load(tmp_path / "seen.npz")
        assert (again.num_deals, again.paths_N) == (2, seen.paths_N)

    def test_of_other_videos_in_one_of_them_are_refused(self):
        seen = draw(num_videos=10)
        with pytest.raises(ValueError, match="some deals of the folds are of other videos"):
            dealt([reordered(seen, range(5)), reordered(seen, range(5, 10))])

    def test_that_rows_cannot_be_shared_out_to_are_refused(self):
        with pytest.raises(ValueError, match="7 rows are no 2 deals of the same videos"):
            replace(draw(num_videos=7), num_deals=2)

    def test_of_some_groups_are_all_deals_of_them(self):
        seen = dealt([draw(), draw(sharpness=2.0)])
        some = seen.rows(np.array([group == "group1" for group in seen.groups_N]))
        assert (some.num_deals, some.num_videos) == (2, 8)

    def test_a_file_that_was_written_before_there_were_several_is_read_as_one(self, tmp_path):
        draw(num_videos=7).save(tmp_path / "seen.npz")
        with np.load(tmp_path / "seen.npz") as arrays:
            old = {name: array for name, array in arrays.items() if name != "num_deals"}
        np.savez(tmp_path / "old.npz", **old)
        assert Observations.load(tmp_path / "old.npz").num_deals == 1


class TestTheOrderOfAnother:
    def test_is_taken_over_row_by_row(self):
        seen = draw(num_videos=10)
        shuffled = reordered(seen, [3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
        back = shuffled.in_order_of(seen)
        assert back.paths_N == seen.paths_N
        np.testing.assert_array_equal(back.log_probs_NKC, seen.log_probs_NKC)

    def test_of_other_videos_is_refused(self):
        with pytest.raises(ValueError, match=r"different videos \(2 are in one alone\)"):
            draw(num_videos=10).in_order_of(draw(num_videos=8))

    def test_under_other_labels_is_refused(self):
        seen = draw(num_videos=10)
        with pytest.raises(ValueError, match="disagree about labels"):
            replace(seen, labels_N=3 - seen.labels_N).in_order_of(seen)

    def test_of_several_deals_is_refused(self):
        seen = draw(num_videos=10)
        twice = dealt([seen, seen])
        for one, other in ((twice, seen), (seen, twice), (twice, twice)):
            with pytest.raises(ValueError, match="a paired difference is of one answer a video"):
                one.in_order_of(other)
