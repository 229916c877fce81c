"""How soon a key is told that there is no room."""

import pytest

from service.api.edge.refusing import BURST, EACH_S, LONGEST_S, Refusing


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_few_refusals_are_told_at_once_and_more_at_a_bounded_rate() -> None:
    refusing = Refusing(Clock())
    pauses_s = [refusing.pause_s("greedy") for _ in range(BURST + 3)]
    assert pauses_s == pytest.approx([0.0] * (BURST + 1) + [EACH_S, 2 * EACH_S])


def test_one_key_s_refusals_hold_up_no_other_key_s() -> None:
    refusing = Refusing(Clock())
    for _ in range(500):
        refusing.pause_s("greedy")
    assert refusing.pause_s("modest") == 0.0


def test_none_is_held_back_for_long_and_a_quiet_key_is_told_at_once_again() -> None:
    clock = Clock()
    refusing = Refusing(clock)
    assert max(refusing.pause_s("greedy") for _ in range(500)) == LONGEST_S
    clock.now_s += LONGEST_S + 2 * BURST * EACH_S
    assert refusing.pause_s("greedy") == 0.0
