"""The results page: every experiment's numbers, and every one that was not run by name."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.training.drawing import draw
from tests.unit.training.test_scoring import ORIGIN, scored
from training.judge.exit_comparison import cross_fitted
from training.judge.experiments import ABLATIONS, BASELINES, PLAN, SEEDS
from training.judge.needle_card import NEEDLE, OURS, Card, Direction, Gain, Row, read_card, write_card
from training.judge.placement_result import (
    PLACEMENTS,
    PlacementResult,
    PlacementRow,
    placements_section,
    write_placements,
)
from training.judge.plots import draw_result
from training.judge.report import render, write_report
from training.judge.results import Estimate, pooled, read_result, write_result
from training.judge.scoring import score
from training.judge.seeds_result import SEEDS as SEEDS_FILE
from training.judge.seeds_result import SeedRow, SeedsResult, seeds_section, write_seeds
from training.judge.statistics import Interval

BASELINE = draw(costs=(600,), knows=(2.5,), model=BASELINES[0].name)
SMALLER = draw(costs=(500,), knows=(2.5,), model=BASELINES[1].name)


@pytest.fixture(scope="module")
def result():
    """Of everything there can be: budgets, baselines to compare with, random cubes."""
    return scored(draw(), others=[BASELINE, SMALLER], random={"space": [draw()]})


@pytest.fixture(scope="module")
def full_page(result):
    return render({planned.name: result for planned in PLAN})


def test_a_page_of_nothing_says_that_nothing_was_run(tmp_path):
    missing = write_report(tmp_path, tmp_path / "docs" / "RESULTS.md")
    page = (tmp_path / "docs" / "RESULTS.md").read_text()
    assert missing == [planned.name for planned in PLAN]
    not_run = page.split("## Not run")[1]
    for planned in PLAN:
        assert f"`{planned.name}`" in not_run
    for planned in (*SEEDS, *ABLATIONS):
        assert f"not run (`{planned.name}`)" in page
    for title in ("On val, along the budget", "Budgets out of sample", "History"):
        assert "not run" in page.split(f"\n## {title}")[1].split("\n## ")[0], title


def test_what_was_run_leaves_the_list_and_brings_its_numbers(tmp_path):
    result = scored(draw())
    write_result(tmp_path / "results" / "compact", result)
    missing = write_report(tmp_path / "results", tmp_path / "RESULTS.md")
    page = (tmp_path / "RESULTS.md").read_text()
    assert "compact" not in missing
    assert "`compact`:" not in page.split("## Not run")[1]
    top1 = 100 * pooled(result.depths[-1].scores).top1.value
    assert f"| compact | {result.depths[-1].gflops:.3g} |" in page
    assert f"{top1:.1f} [" in page
    for baseline in BASELINES:
        assert f"Against {baseline.what}: not run" in page


def test_with_everything_run_nothing_is_called_not_run(full_page):
    assert "Everything that was planned was run." in full_page
    assert "not run" not in full_page.lower().replace("## not run", "")


def test_what_shipped_before_stands_under_history_and_nowhere_above_it(full_page):
    above, history = full_page.split("\n## History\n")
    assert "| compact |" in above
    older = [planned.name for planned in PLAN if planned.name != "compact"]
    assert not [name for name in older if f"| {name} |" in above]
    assert all(f"| {name} |" in history for name in older)


def test_where_cubes_look_and_what_a_seed_changes_have_sections_of_their_own(tmp_path):
    half = Estimate(value=0.5, low=0.4, high=0.6)
    row = PlacementRow(name="centre", step=1, gflops=1.26, top1=half, person_less_this=half, person_cost_ratio=1.0)
    write_placements(
        tmp_path / "compact" / PLACEMENTS, PlacementResult(model="compact", data="548 videos", groups=63, rows=(row,))
    )
    seed = SeedRow(
        seed=2, top1_K=(half, half), by_source={"ut": 0.9}, exit_rule="entropy", default_gflops=1.2, default_top1=half
    )
    write_seeds(tmp_path / "compact" / SEEDS_FILE, SeedsResult(plan="compact", data="548 videos", rows=(seed,)))
    write_report(tmp_path, tmp_path / "RESULTS.md")
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| centre | 1 cube | 1.26 | 50.0 [40.0, 60.0] | 50.0 [40.0, 60.0] | 1.00 |" in page
    assert "| 2 | 50.0 [40.0, 60.0] | 50.0 [40.0, 60.0] | 90.0 | entropy | 1.2 | 50.0 [40.0, 60.0] |" in page


def test_drawn_clips_whose_right_place_is_known_have_a_section_and_ours_is_held_against_each_row(tmp_path):
    gain = Interval(0.3, 0.2, 0.4)
    card = Card(
        rows=[
            Row(0, "random", (0.48, 0.54, 0.55), 0.06),
            Row(0, "heat map, losses", (0.48, 0.7, 0.71), 0.4),  # on the whole card alone
            Row(0, OURS, (0.48, 0.88, 0.85), 0.78),
        ],
        gains=[Gain(0, OURS, "random", number, gain) for number in (1, 2)],
        directions=[Direction(0, "deep", "other clips", 40, 0.4)],
        exits=[cross_fitted(draw(), name="needle, seed 0", num_folds=3, num_repeats=1)],
    )
    write_card(tmp_path / "needle" / NEEDLE, card)
    assert read_card(tmp_path / "needle" / NEEDLE) == card
    write_report(tmp_path, tmp_path / "RESULTS.md")
    page = (tmp_path / "RESULTS.md").read_text().split("## Where the right place is known")[1].split("\n## ")[0]
    assert "| 0 | random | 6 % | 48.0 | 54.0 | 55.0 | 30.0 [20.0, 40.0] | 30.0 [20.0, 40.0] |" in page
    assert f"| 0 | {OURS} | 78 % | 48.0 | 88.0 | 85.0 |  |  |" in page
    assert "heat map, losses" not in page
    above = sum(point.verdict == "above" for point in card.exits[0].at("entropy")[1:-1])
    assert f"- needle, seed 0: exits are above random exit, interval above 0, at {above} of 14 budgets." in page
    (tmp_path / "needle" / NEEDLE).write_text("{}")
    with pytest.raises(ValueError, match="holds no needles"):
        read_card(tmp_path / "needle" / NEEDLE)


def test_whether_seeds_choose_alike_is_said():
    half = Estimate(value=0.5, low=0.4, high=0.6)
    first = SeedRow(seed=0, top1_K=(half,), by_source={}, exit_rule="entropy", default_gflops=0.433, default_top1=half)

    def page(*rows):
        return seeds_section([SeedsResult(plan="light", data="548 videos", rows=rows)])

    other = first.model_copy(update={"seed": 1, "default_gflops": 0.595})
    assert "All seeds choose the exit rule entropy and the default budget 0.433 GFLOPs." in page(first)
    assert "All seeds choose the exit rule entropy and differ in the default budget: 0.433, 0.595 GFLOPs." in page(
        first, other
    )


def test_whether_the_person_is_above_is_said_in_words_with_the_interval():
    def row(name, step, low, high, ratio):
        apart = Estimate(value=(low + high) / 2, low=low, high=high)
        half = Estimate(value=0.5, low=0.4, high=0.6)
        return PlacementRow(
            name=name, step=step, gflops=1.0, top1=half, person_less_this=apart, person_cost_ratio=ratio
        )

    rows = (
        row("random", 1, 0.01, 0.03, 1.0),
        row("centre", 2, -0.01, 0.03, 1.0),
        row("motion", 1, -0.04, -0.02, 1.0),
        row("whole frames", 0, -0.03, 0.01, 0.21),
        row("whole frames without key points", 0, 0.02, 0.04, 0.5),
    )
    page = placements_section([PlacementResult(model="compact", data="548 videos", groups=63, rows=rows)])
    assert "- *Person* is above other cubes here: random at 1 cube (2.0 [1.0, 3.0])." in page
    assert "- *Person* is below other cubes here: motion at 1 cube (-3.0 [-4.0, -2.0])." in page
    assert "- Between *person* and these cubes no difference is resolved: centre at 2 cubes (1.0 [-1.0, 3.0])." in page
    assert (
        "- At 21% of the multiply-adds of whole frames (aim: at most 40%) *person* is -1.0 points [-3.0, 1.0] from "
        "them: not resolved." in page
    )
    assert "- At 50% of the multiply-adds of whole frames without key points (more than the aim of 40%)" in page
    few = placements_section([PlacementResult(model="compact", data="6 videos", groups=5, rows=rows)])
    assert "is above" not in few


def test_tables_are_whole(full_page):
    for block in re.findall(r"(?:^\|.*\|\n)+", full_page, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def test_the_comparison_names_the_dearest_budget_within_the_aim_and_every_source(result):
    lines = [line for line in render({"compact-learned": result}).splitlines() if "(aim: at most 40%)" in line]
    assert len(lines) == len(BASELINES)
    assert all(source in line for line in lines for source in ("pooled", "court", "street"))
    dear = render(
        {"compact-learned": scored(draw(), others=[draw(costs=(10,), knows=(2.5,), model=BASELINES[0].name)])}
    )
    assert "No budget costs at most 40% of it." in dear


def test_an_untrained_model_is_called_so():
    untrained = replace(ORIGIN, trained=False)
    page = render({"compact": score(draw(), untrained, grid=None)})
    assert "Untrained, so that accuracies mean nothing: compact" in page


def test_a_file_that_is_no_result_is_refused_and_no_page_written(tmp_path):
    (tmp_path / "results" / "compact").mkdir(parents=True)
    (tmp_path / "results" / "compact" / "result.json").write_text("{}")
    with pytest.raises(ValueError, match="is no result"):
        write_report(tmp_path / "results", tmp_path / "RESULTS.md")
    assert not (tmp_path / "RESULTS.md").exists()


def test_a_result_is_drawn_with_what_it_has(tmp_path, result):
    whole = draw_result(result, tmp_path / "whole")
    fixed = draw_result(score(BASELINE, ORIGIN, grid=None), tmp_path / "fixed")
    assert sorted(path.name for path in whole) == ["confusion.png", "exits.png", "trade-off.png"]
    assert sorted(path.name for path in fixed) == ["confusion.png", "trade-off.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (*whole, *fixed))


COMMITTED = sorted((Path(__file__).resolve().parents[3] / "results").glob("*/result.json"))


@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.parent.name)
def test_results_of_before_a_name_changed_in_the_code_are_read_and_written_with_the_names_they_had(file, tmp_path):
    result = read_result(file)
    assert len(result.step_flops) == len(result.depths)
    again = write_result(tmp_path, result)
    assert json.loads(again.read_bytes()) == json.loads(file.read_bytes())


def test_results_of_every_experiment_are_here():
    assert COMMITTED
