"""Where cubes look, and seeds: figures out of features that are known, so that what must come out is known, too."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import placements, seeds
from benchmarks.placements import ALONE, WHOLE, Way
from models.adafocus.placed import build_any
from models.thresholds import log_softmax
from tests.unit.training.test_whole_frames import PLACED as OF_WHOLE_FRAMES
from training.data.dataset import Dataset, Sample
from training.fit.head_fit import HeadFit
from training.full_frame.whole import WholeFramesConfig, build_network
from training.judge.placement_result import SHIPS, in_words, read_placements, write_placements
from training.judge.seeds_result import SeedsResult, read_seeds, write_seeds
from training.judge.statistics import wilson
from video.clip import ClipRule

PLACED = replace(OF_WHOLE_FRAMES, key_points=True)
RULE = ClipRule(PLACED.num_frames, *PLACED.frame_size, "stretch")
CLASSES = ("a", "b", "c", "d")
DATASET = Dataset(
    CLASSES,
    tuple(
        Sample(Path(f"{number}.mp4"), label=number % 4, subject=f"group{number // 4}", source="court")
        for number in range(48)
    ),
)


def known(shape: tuple[int, ...], *, tells: bool, seed: int = 0) -> torch.Tensor:
    """Noise for every video; where it `tells`, its label stands in the middle of it."""
    rows = torch.randn(len(DATASET), *shape, generator=torch.Generator().manual_seed(seed)).abs()
    if tells:
        for number, sample in enumerate(DATASET.samples):
            rows[number, ..., sample.label :: len(CLASSES)] += 3.0
    return rows


@pytest.fixture(scope="module")
def found() -> placements.PlacementResult:
    """The person's cubes tell the label, cubes elsewhere and whole frames do not."""
    network = build_any(PLACED, seed=0)
    glance_width = network.classifier.glance_head.in_features
    cubes = Way(network, RULE, (100, 200, 300), "fp32", HeadFit())
    whole, alone = (build_network(WholeFramesConfig(PLACED, points), seed=0) for points in (True, False))
    sharing = Way(build_any(replace(PLACED, recycled_share=0.95), seed=0), RULE, (100, 200, 400), "fp32", HeadFit())
    ways = {name: cubes for name in placements.PLACED} | {
        SHIPS: sharing,
        WHOLE: Way(whole, RULE, (1000,), "fp32", HeadFit()),
        ALONE: Way(alone, RULE, (500,), "fp32", HeadFit()),
    }
    given = {
        name: {
            "glance": known((glance_width,), tells=False),
            "memory": known((2, network.classifier.memory_size), tells=name in {"person", SHIPS}, seed=1),
        }
        for name in (*placements.PLACED, SHIPS)
    }
    given[WHOLE] = {"memory": known((whole.classifier.memory_size,), tells=False, seed=2)}
    given[ALONE] = placements.without_key_points(given[WHOLE], alone)
    return placements.compared(DATASET, ways, given, deals=2, model="compact")


def test_every_way_has_a_row_for_each_number_of_cubes_and_the_glance_which_all_share_has_one(found) -> None:
    assert {(row.name, row.step) for row in found.rows} == {
        ("glance", 0),
        *((name, step) for name in placements.PLACED for step in (1, 2)),
        *((SHIPS, step) for step in (0, 1, 2)),
        (WHOLE, 0),
        (ALONE, 0),
    }
    assert found.groups == 12
    assert "features in fp32" in found.data


def test_cubes_that_show_the_label_are_above_cubes_that_do_not_at_as_many_cubes(found) -> None:
    by_row = {(row.name, row.step): row for row in found.rows}
    for step in (1, 2):
        assert by_row["person", step].top1.value > 0.9
        assert by_row["person", step].person_less_this is None
        for name in ("random", "centre", "motion"):
            apart = by_row[name, step].person_less_this
            assert apart is not None
            assert apart.low > 0
            assert apart.value == pytest.approx(by_row["person", step].top1.value - by_row[name, step].top1.value)
            assert by_row[name, step].person_cost_ratio == 1


def test_whole_frames_are_held_against_all_cubes_at_what_these_cost_of_them(found) -> None:
    by_row = {row.name: row for row in found.rows}
    all_cubes = next(row for row in found.rows if (row.name, row.step) == ("person", 2))
    for name, share in ((WHOLE, 0.3), (ALONE, 0.6)):
        apart = by_row[name].person_less_this
        assert apart is not None
        assert apart.value == pytest.approx(all_cubes.top1.value - by_row[name].top1.value)
        assert by_row[name].person_cost_ratio == pytest.approx(share)


def test_what_ships_is_held_against_whole_frames_alone_and_its_exits_keep_their_share(found) -> None:
    by_row = {(row.name, row.step): row for row in found.rows}
    for name, share in ((WHOLE, 0.4), (ALONE, 0.8)):
        row = by_row[name, 0]
        assert row.ships_less_this is not None
        assert row.ships_less_this.value == pytest.approx(by_row[SHIPS, 2].top1.value - row.top1.value)
        assert row.ships_cost_ratio == pytest.approx(share)
    assert all(row.ships_less_this is None for row in found.rows if row.name not in placements.WHOLE_NAMES)
    assert by_row[SHIPS, 0].top1 == by_row["glance", 0].top1
    assert by_row[SHIPS, 1].top1.value < by_row["person", 1].top1.value  # nearly all a glance
    assert any("what ships is" in line for line in in_words(found))


def test_what_ships_has_a_row_where_it_is_more_than_the_persons_cubes() -> None:
    assert SHIPS in placements.rows_of("compact", 4)
    assert SHIPS not in placements.rows_of("light", 4)


def test_accuracies_are_no_surer_than_wilson_allows(found) -> None:
    for row in found.rows:
        low, high = wilson(row.top1.value * len(DATASET), len(DATASET))
        assert row.top1.low <= low + 1e-9
        assert row.top1.high >= high - 1e-9


def test_figures_come_back_from_their_file_as_they_were(found, tmp_path) -> None:
    write_placements(tmp_path / "placements.json", found)
    assert read_placements(tmp_path / "placements.json") == found


@torch.no_grad()
def test_without_key_points_heads_are_given_what_the_network_without_them_sees() -> None:
    whole, alone = (build_network(WholeFramesConfig(PLACED, points), seed=0) for points in (True, False))
    alone.focus.load_state_dict(whole.focus.state_dict())
    clips = torch.randint(0, 256, (2, PLACED.num_frames, *PLACED.frame_size, 3), dtype=torch.uint8)
    cut = placements.without_key_points({"memory": whole.remember(clips)}, alone)
    torch.testing.assert_close(cut["memory"], alone.remember(clips), rtol=1e-4, atol=1e-4)


def test_a_seed_has_a_row_of_its_own_whose_budget_is_one_of_the_grid(tmp_path) -> None:
    network = build_any(PLACED, seed=0)
    given = {
        kind: {
            "glance": known((network.classifier.glance_head.in_features,), tells=False, seed=number),
            "memory": known((2, network.classifier.memory_size), tells=True, seed=10 + number),
        }
        for number, kind in enumerate(("exact", "copy"))
    }
    rows = [
        seeds.row_of(seeds.observed(DATASET, network, given, (100, 100, 100), tmp_path, seed, 2, HeadFit()), seed)
        for seed in (0, 1)
    ]
    for seed, row in enumerate(rows):
        assert row.seed == seed
        assert len(row.top1_K) == 3
        assert row.top1_K[-1].value > 0.9 > row.top1_K[0].value
        assert row.top1_K[-1].low <= wilson(round(row.top1_K[-1].value * len(DATASET)), len(DATASET))[0] + 1e-9
        assert 100 <= row.default_gflops * 1e9 <= 300
    recycling = build_any(replace(PLACED, recycled_share=0.5), seed=0)
    mixed = seeds.observed(DATASET, recycling, given, (100, 100, 100), tmp_path, 0, 2, HeadFit())
    own = seeds.observed(DATASET, network, given, (100, 100, 100), tmp_path, 0, 2, HeadFit())
    own_NKC, mixed_NKC = own.log_probs_NKC.astype(np.float64), mixed.log_probs_NKC.astype(np.float64)
    np.testing.assert_allclose(mixed_NKC[:, 0], own_NKC[:, 0], atol=1e-4)
    for step in (1, 2):  # of what was answered before, not of what the head before said
        wanted_NC = log_softmax(0.5 * own_NKC[:, step] + 0.5 * mixed_NKC[:, step - 1])
        np.testing.assert_allclose(mixed_NKC[:, step], wanted_NC, atol=1e-4)
    write_seeds(tmp_path / "seeds.json", SeedsResult(plan="compact", data="48 videos", rows=tuple(rows)))
    assert read_seeds(tmp_path / "seeds.json").rows == tuple(rows)


@pytest.mark.parametrize("plan", ["compact", "light"])
def test_ways_of_one_plan_cost_alike_and_differ_in_where_cubes_look_alone(plan) -> None:
    person, centre = (placements.way_of(name, 15, plan) for name in ("person", "centre"))
    assert (person.spent_K, person.clip) == (centre.spent_K, centre.clip)
    assert (person.network.config.motion_frames, person.network.config.recycled_share) == ((), 0.0)
    assert person.network.config == replace(centre.network.config, placement="person")
    assert placements.way_of(WHOLE, 15, plan).spent_K[-1] > 2.5 * person.spent_K[-1]
