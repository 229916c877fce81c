"""Labels of overlapping windows are made steady before they become segments."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.timelines.steadying import Steady
from service.timelines.values import Sighting

STRIDE_S = 0.5


def sightings(said: str, deciding: Sequence[int] = ()) -> list[Sighting]:
    """A letter a window: `A` a label, `a` that label with too low a score, `.` nothing that is known."""
    return [
        Sighting(
            start_s=number * STRIDE_S,
            end_s=(number + 1) * STRIDE_S,
            probabilities_C=None,
            entropy_nats=0.0,
            spent_flops=number,
            label=one if one.isupper() else None,
            likeliest=None if one == "." else one.upper(),
            decides=number in deciding,
        )
        for number, one in enumerate(said)
    ]


def steadied(said: str, window_s: float = 2.0, deciding: Sequence[int] = ()) -> str:
    steady = Steady(window_s, STRIDE_S)
    told = [one for sighting in sightings(said, deciding) for one in steady.take(sighting)]
    return spelled([*told, *steady.end()])


def spelled(told: Sequence[Sighting]) -> str:
    return "".join(one.label or "." for one in told)


class TestAWindowThatDecides:
    def test_speaks_for_those_within_half_a_window_of_it(self):
        assert steadied("BCDBCABCDCB..", deciding=[5]) == "...AAAAA....."

    def test_leaves_those_to_another_that_is_nearer(self):
        assert steadied("AAACCBBBCCC", deciding=[2, 5]) == "AAAABBBBCCC"

    def test_says_nothing_for_others_where_it_has_no_label(self):
        assert steadied("AAAAaAAAA", deciding=[4]) == "AAAAAAAAA"
        assert steadied("AAAA.BBBB", deciding=[4]) == "AAAA.BBBB"

    def test_speaks_for_itself_alone_where_windows_overlap_by_half_or_less(self):
        assert steadied("BBABB", window_s=1.0, deciding=[2]) == "BBABB"

    def test_tells_what_it_saw_for_them_and_each_costs_what_it_did(self):
        seen = np.array([0.2, 0.8], np.float32)
        given = sightings("BBBBB")
        given[2] = replace(given[2], label="A", likeliest="A", probabilities_C=seen, decides=True)
        steady = Steady(2.0, STRIDE_S)
        told = [one for sighting in given for one in steady.take(sighting)] + [*steady.end()]
        assert [one.label for one in told] == ["A"] * 5
        assert all(one.probabilities_C is seen for one in told)
        assert [one.spent_flops for one in told] == [0, 1, 2, 3, 4]


class TestALabelReachesIntoWindowsThatScoreTooLittle:
    def test_where_it_is_the_likeliest_there_before_and_behind(self):
        assert steadied("....aAAa....") == "....AAAA...."

    def test_but_not_further_than_half_a_window(self):
        assert steadied("aaaaAAAAaaaa") == "..AAAAAAAA.."

    def test_and_not_where_another_is_likelier_or_nothing_is_known(self):
        assert steadied("bbbAAAAbbb..") == "...AAAA....."
        assert steadied("...AAAA.aa..") == "...AAAA....."

    def test_which_alone_makes_no_segment(self):
        assert steadied("aaaaaaaa") == "........"


class TestWhatDoesNotLastLongerThanHalfAWindow:
    def test_is_no_segment_of_its_own(self):
        assert steadied("....AA......") == "............"
        assert steadied("....AAA.....") == "....AAA....."

    def test_belongs_to_its_neighbours_where_they_agree(self):
        assert steadied("AAAABAAAA") == "AAAAAAAAA"
        assert steadied("AAAA..AAAA") == "AAAAAAAAAA"

    def test_is_nobodys_where_they_differ(self):
        assert steadied("AAAACBBBB") == "AAAA.BBBB"

    def test_does_not_cut_what_lasts_in_two(self):
        assert steadied("AAAABAABBBB") == "AAAAAAABBBB"

    def test_stays_where_the_video_ends_with_it(self):
        assert steadied("......A") == "......A"

    def test_stays_where_windows_overlap_by_half_or_less_and_each_is_seen_by_itself(self):
        assert steadied("..A..B.", window_s=1.0) == "..A..B."
        assert steadied("..A..B.", window_s=0.5) == "..A..B."


@given(st.text("AaBb.", max_size=60), st.sampled_from([0.5, 1.0, 1.5, 2.0, 4.0]))
def test_every_window_is_told_once_in_order_and_costs_what_it_did(said: str, window_s: float) -> None:
    steady = Steady(window_s, STRIDE_S)
    given = sightings(said)
    told = [one for sighting in given for one in steady.take(sighting)] + [*steady.end()]
    assert [one.spent_flops for one in told] == [one.spent_flops for one in given]
    assert [one.start_s for one in told] == [one.start_s for one in given]


@given(st.text("AaBb.", max_size=60))
def test_what_is_told_lasts_longer_than_half_a_window_but_at_the_end(said: str) -> None:
    runs = [(label, len(list(run))) for label, run in groupby(steadied(said))]
    assert all(length * STRIDE_S > 1.0 for label, length in runs[:-1] if label != ".")


@given(st.text("AaBb.", max_size=60))
def test_it_says_nothing_that_no_window_has_said(said: str) -> None:
    assert set(steadied(said)) <= {*(one for one in said if one.isupper()), "."}


@pytest.mark.parametrize("said", ["A" * 500, "." * 500, "a" * 500, "Ab." * 200, "AAAAB" * 100])
def test_no_window_is_held_back_for_longer_than_a_window_and_a_half(said: str) -> None:
    """So that segments come as they are found, and memory does not grow."""
    steady, num_told = Steady(2.0, STRIDE_S), 0
    for number, sighting in enumerate(sightings(said), start=1):
        num_told += len(list(steady.take(sighting)))
        assert (number - num_told) * STRIDE_S <= 3.0
