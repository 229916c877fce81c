"""Of overlapping windows those decide that hold the most of what moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.timelines.deciding import Deciders

STRIDE_S = 0.5


def deciding(pictures: list[int], window_s: float = 2.0) -> list[int]:
    """Numbers of the windows that decide."""
    deciders = Deciders(window_s, STRIDE_S)
    told = [one for num_pictures in pictures for one in deciders.take(num_pictures)] + [*deciders.end()]
    assert len(told) == len(pictures)
    return [number for number, decides in enumerate(told) if decides]


def test_the_window_that_holds_the_most_of_a_stretch_decides():
    assert deciding([1, 1, 5, 9, 13, 16, 12, 8, 4, 1, 1]) == [5]


def test_one_a_windows_length_decides_where_it_moves_on():
    assert deciding([4, 8, 12, *[16] * 11, 12, 8, 4]) == [3, 7, 11]


def test_of_two_that_hold_as_much_the_first_decides():
    assert deciding([1, 6, 10, 10, 6, 1]) == [2]


def test_where_nothing_moves_none_decides_and_at_a_cut_neither():
    assert deciding([1] * 9) == []
    assert deciding([1, 1, 2, 2, 2, 2, 1, 1]) == []


def test_what_moves_a_little_is_decided_too_where_nothing_moves_more_beside_it():
    assert deciding([1, 1, 2, 3, 3, 2, 1, 1, 1]) == [3]


def test_each_that_moves_decides_where_windows_do_not_overlap():
    assert deciding([3, 4, 4, 1], window_s=0.5) == [0, 1, 2]


def test_a_video_shorter_than_the_windows_around_one_is_decided_at_its_end():
    assert deciding([4]) == [0]
    assert deciding([3, 4]) == [1]


@given(st.lists(st.integers(0, 16), max_size=80), st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]))
def test_none_that_decides_is_within_half_a_window_of_one_that_holds_more(pictures: list[int], window_s: float) -> None:
    most = int(window_s / 2 / STRIDE_S)
    for number in deciding(pictures, window_s):
        assert pictures[number] == max(pictures[max(0, number - most) : number + most + 1])


@pytest.mark.parametrize("window_s", [0.5, 2.0, 8.0])
def test_a_window_is_told_as_soon_as_half_a_window_behind_it_is_heard(window_s: float) -> None:
    deciders, told = Deciders(window_s, STRIDE_S), 0
    for number in range(200):
        told += len(list(deciders.take(number % 17)))
        assert number + 1 - told <= window_s / 2 / STRIDE_S
