"""The results page: every experiment's numbers, and every one that was not run by name."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.training.drawing import draw
from tests.unit.training.test_scoring import ORIGIN, scored
from training.judge.plots import draw_result
from training.judge.report import ABLATIONS, BASELINES, PLAN, SEEDS, render, write_report
from training.judge.results import pooled, read_result, write_result
from training.judge.scoring import score

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
    for section in page.split("\n## ")[3:7]:  # b to e; a says that nothing was run, and new places how to measure them
        assert "not run" in section, section


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


def test_tables_are_whole(full_page):
    for block in re.findall(r"(?:^\|.*\|\n)+", full_page, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def test_the_comparison_names_the_dearest_budget_within_the_aim_and_every_source(result):
    lines = [line for line in render({"compact": result}).splitlines() if "(aim: at most 40%)" in line]
    assert len(lines) == len(BASELINES)
    assert all(source in line for line in lines for source in ("pooled", "court", "street"))
    dear = render({"compact": scored(draw(), others=[draw(costs=(10,), knows=(2.5,), model=BASELINES[0].name)])})
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
