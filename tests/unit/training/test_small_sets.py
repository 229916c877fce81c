"""What a set of few videos can resolve: drawn as whole groups of one deal, and held against random exit."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.small_sets import drawn, resolved
from tests.unit.training.drawing import dealt, draw

SEEN = dealt([draw(num_videos=120, num_groups=24), draw(num_videos=120, num_groups=24)])


@given(st.integers(0, 2**32), st.integers(0, 1), st.data())
def test_a_set_is_of_whole_groups_of_one_deal_and_of_each_source_as_many_videos_or_just_more(seed, deal, data) -> None:
    there = Counter(SEEN.sources_N[SEEN.rows_by_deal[deal]])
    wanted = {source: data.draw(st.integers(0, count)) for source, count in there.items()}
    rows_N = drawn(SEEN, wanted, SEEN.rows_by_deal[deal], np.random.default_rng(seed))
    of_deal = range(SEEN.num_rows)[SEEN.rows_by_deal[deal]]
    assert set(rows_N) <= set(of_deal)
    taken = {(SEEN.sources_N[row], SEEN.groups_N[row]) for row in rows_N}
    assert set(rows_N) == {row for row in of_deal if (SEEN.sources_N[row], SEEN.groups_N[row]) in taken}
    found = Counter(SEEN.sources_N[row] for row in rows_N)
    largest = max(Counter((SEEN.sources_N[row], SEEN.groups_N[row]) for row in of_deal).values())
    assert all(count <= found[source] < count + largest for source, count in wanted.items())


def test_more_videos_than_were_observed_are_refused() -> None:
    source = SEEN.sources_N[0]
    with pytest.raises(ValueError, match=f"9999 videos of '{source}' are wanted"):
        drawn(SEEN, {source: 9999}, SEEN.rows_by_deal[0], np.random.default_rng(0))


def test_few_videos_resolve_less_than_all_of_them() -> None:
    """Entropy tells easy videos apart here."""
    all_of_them = Counter(SEEN.sources_N[SEEN.rows_by_deal[0]])
    few, many = (
        resolved(SEEN, {source: count // part for source, count in all_of_them.items()}, "entropy", 12)
        for part in (6, 1)
    )
    share = "sets with 3 such budgets or more"
    assert few["videos a set, mean"] < many["videos a set, mean"] == SEEN.num_videos
    assert few[share] < many[share]
