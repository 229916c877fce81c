"""How often a model is right in groups that it did not learn from: what is told, and what the page shows of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.drawing import dealt, draw
from training.judge.new_places import (
    new_places_section,
    on_new_places,
    read_new_places,
    write_new_places,
)
from training.judge.report import Found, render
from training.judge.results import POOLED


def test_every_step_is_told_pooled_and_by_source() -> None:
    seen = draw()
    found = on_new_places(seen)
    assert [point.step for point in found.depths] == list(range(len(seen.step_flops_K)))
    for point, right in zip(found.depths, seen.correct_NK.mean(axis=0), strict=True):
        (score,) = (score for score in point.scores if score.source == POOLED)
        assert score.top1.value == pytest.approx(right)
        assert score.top1.low <= right <= score.top1.high
    assert {score.source for score in found.depths[0].scores} == {POOLED, *seen.sources_N}


def test_it_is_the_same_after_a_file(tmp_path: Path) -> None:
    found = on_new_places(draw())
    write_new_places(tmp_path / "some" / "new_places.json", found)
    assert read_new_places(tmp_path / "some" / "new_places.json") == found


def test_a_file_that_holds_none_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "new_places.json").write_text("{}")
    with pytest.raises(ValueError, match=r"new_places\.json holds no accuracies of new places"):
        read_new_places(tmp_path / "new_places.json")


def test_the_page_tells_new_places_first_and_the_most_frequent_class_beside() -> None:
    found = on_new_places(draw())
    page = render({}, Found(new_places=(found,)))
    assert page.index("## On new places") < page.index("## On val, at all steps")
    rows = [line for line in page.splitlines() if line.startswith(f"| {found.model} |")]
    assert len(rows) == len(found.depths) + 1
    told = {score.source: score for score in found.depths[0].scores}
    parts = [score for source, score in told.items() if source != POOLED]
    expected = sum(score.majority * score.videos for score in parts) / told[POOLED].videos
    assert f"| most frequent |  | {100 * expected:.1f} |" in rows[-1]


def test_without_any_the_page_says_how_to_measure_them() -> None:
    assert "fovea compare-exits" in new_places_section([])


def test_several_deals_of_the_folds_are_told_by_their_mean_and_how_far_they_lie_apart() -> None:
    deals = [draw(seed=0), draw(seed=0, knows=(0.2, 1.0, 1.2, 1.5))]
    found = on_new_places(dealt(deals))
    rights = [deal.correct_NK[:, -1].mean() for deal in deals]
    pooled = next(score for score in found.depths[-1].scores if score.source == POOLED)
    assert (pooled.videos, pooled.top1.value) == (96, pytest.approx(np.mean(rights)))
    assert [deal[POOLED] for deal in found.deals] == pytest.approx(rights)
    low, high = (100 * share for share in sorted(rights))
    assert f"mean of 2 deals. From deal to deal, at all steps: pooled {low:.1f} to {high:.1f}" in new_places_section(
        [found]
    )
    assert on_new_places(deals[0]).deals == ()


def test_videos_without_a_source_are_told_pooled_alone() -> None:
    deals = [replace(draw(seed=seed), sources_N=("",) * 96) for seed in (0, 0)]
    assert [set(deal) for deal in on_new_places(dealt(deals)).deals] == [{POOLED}, {POOLED}]
