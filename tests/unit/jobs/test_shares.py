"""Shares of what is kept for long."""

from hypothesis import given
from hypothesis import strategies as st

from service.jobs.shares import KeptShares

OWNERS = ("desk", "yard", "gate")


def test_whoever_asks_without_a_key_may_have_all_of_it() -> None:
    shares = KeptShares(4, lambda name: 1.0)
    shares.count([""] * 3)
    assert shares.beyond("") is None


def test_what_is_looked_at_counts_and_what_is_gone_does_not() -> None:
    shares = KeptShares(4, lambda name: 1.0)
    shares.count(["desk"] * 3)
    assert shares.beyond("desk") == 3
    shares.count(["desk"] * 2)
    assert shares.beyond("desk") is None
    shares.added("desk")
    assert shares.beyond("desk") == 3


def test_beside_others_it_is_the_share_by_weight() -> None:
    shares = KeptShares(12, lambda name: 2.0 if name == "desk" else 1.0)
    shares.count(["desk"] * 8 + ["yard"])
    assert shares.beyond("desk") == 8
    assert shares.beyond("yard") is None
    shares.count(["desk"] + ["yard"] * 4)
    assert shares.beyond("yard") == 4


@given(st.integers(4, 200), st.lists(st.sampled_from(OWNERS), max_size=400))
def test_whatever_one_owner_asks_for_the_first_of_another_finds_room(most: int, asked: list[str]) -> None:
    shares, kept = KeptShares(most, lambda name: 1.0), dict.fromkeys(OWNERS, 0)
    first = asked[0] if asked else "desk"
    for owner in [first] * most:
        if shares.beyond(owner) is None:
            shares.added(owner)
            kept[owner] += 1
    assert kept[first] < most
    assert all(shares.beyond(other) is None for other in OWNERS if other != first)
