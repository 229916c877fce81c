"""A policy is taught by heads that have not seen its clips, in two halves; what ships has seen everything."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from models.adafocus.network import AdaFocusV3
from tests.unit.training.runs import MODEL, SAVING, Watch, assert_same_end, clips, network, trainer
from training.adafocus.losses import losses
from training.data.batches import Alternating
from training.data.dataset import Dataset, Sample
from training.data.groups import group_of, halve_groups
from training.fit.apart import HeadsApart, teaches_apart
from training.fit.heads import fit_heads
from training.fit.recipe import Recipe, Stage
from training.fit.run import BEST

CLIP_CUBES = replace(MODEL, cube_size=(3, 32, 32), max_cubes=2, aggregation="joint_statistics", dropout=0.0)
POLICY_ALONE = Stage(1, "learned", ("policy",), lr=0.05)
APART = replace(SAVING, stages=(POLICY_ALONE,), fitted_heads=True, heads_apart=True, folds=2)
CLIPS, _ = clips(MODEL, 24, seed=0)
GUESSED = torch.randint(MODEL.num_classes, (24,), generator=torch.Generator().manual_seed(4))  # no clip tells these


def first_half() -> Iterator[tuple[Tensor, Tensor]]:
    yield CLIPS[:12], GUESSED[:12]


def second_half() -> Iterator[tuple[Tensor, Tensor]]:
    yield CLIPS[12:], GUESSED[12:]


def everything() -> Iterator[tuple[Tensor, Tensor]]:
    yield CLIPS, GUESSED


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def loss_on_the_first_half(built: AdaFocusV3, recipe: Recipe = APART) -> float:
    targets_BC = torch.eye(MODEL.num_classes)[GUESSED[:12]]
    with torch.no_grad():
        found = losses(built.eval(), CLIPS[:12], targets_BC, recipe, "learned", step=0, generator=generator())
    return float(found.exits_E.mean())


def heads_of(built: AdaFocusV3) -> list[Tensor]:
    return [tensor.clone() for name, tensor in built.state_dict().items() if "head" in name or "auxiliary" in name]


def test_heads_know_their_own_clips_by_heart_and_those_of_the_other_half_do_not() -> None:
    built = network(CLIP_CUBES)
    assert isinstance(built, AdaFocusV3)
    fit_heads(built, everything(), generator())
    by_heart = loss_on_the_first_half(built)
    apart = HeadsApart(built, (first_half, second_half), generator, APART)
    with apart.for_batch(0):
        never_seen = loss_on_the_first_half(built)
    with apart.for_batch(1):
        seen = loss_on_the_first_half(built)
    chance = float(torch.tensor(MODEL.num_classes).log())
    assert max(by_heart, seen) < chance < never_seen


def test_a_step_leaves_the_heads_as_they_were_whatever_happens_in_it() -> None:
    built = network(CLIP_CUBES)
    assert isinstance(built, AdaFocusV3)
    before = heads_of(built)
    apart = HeadsApart(built, (first_half, second_half), generator, APART)

    def diverge() -> None:
        with apart.for_batch(0):
            assert not all(torch.equal(one, other) for one, other in zip(before, heads_of(built), strict=True))
            raise FloatingPointError

    with pytest.raises(FloatingPointError):
        diverge()
    assert all(torch.equal(one, other) for one, other in zip(before, heads_of(built), strict=True))


def test_the_policy_learns_otherwise_from_them_and_what_ships_is_fitted_to_everything(tmp_path: Path) -> None:
    ends = {}
    for name, recipe in (("apart", APART), ("old", replace(APART, heads_apart=False))):
        halves = (first_half, second_half)
        (tmp_path / name).mkdir()
        trainer(tmp_path / name, recipe, network(CLIP_CUBES), plain=everything, halves=halves).train()
        ends[name] = safetensors.torch.load_file(tmp_path / name / BEST)
    policy = "policy.layers.0.weight"
    assert not torch.equal(ends["apart"][policy], ends["old"][policy])
    again = network(CLIP_CUBES)
    again.load_state_dict(ends["apart"])
    fit_heads(again, everything(), torch.Generator().manual_seed(1), learned=True)  # as the trainer seeds random cubes
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in ends["apart"].items())


def test_an_interrupted_run_goes_on_with_the_same_teachers(tmp_path: Path) -> None:
    parts = {"plain": everything, "halves": (first_half, second_half)}
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    trainer(tmp_path / "whole", APART, network(CLIP_CUBES), **parts).train()
    watch = Watch(3)
    assert not trainer(tmp_path / "parts", APART, network(CLIP_CUBES), report=watch, **parts).train(stop=watch.stop)
    assert trainer(tmp_path / "parts", APART, network(CLIP_CUBES, seed=99), **parts).train()
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(
    ("recipe", "stage", "expected"),
    [
        (APART, POLICY_ALONE, True),
        (replace(APART, heads_apart=False), POLICY_ALONE, False),
        (APART, Stage(1, "both"), False),
        (APART, Stage(1, "random", ("classifier",)), False),
    ],
    ids=["the policy alone", "not asked for", "heads learn, too", "no policy learns"],
)
def test_it_is_for_stages_in_which_the_heads_stand_still(recipe: Recipe, stage: Stage, expected: bool) -> None:
    assert teaches_apart(recipe, stage) is expected


def test_it_needs_heads_in_closed_form() -> None:
    with pytest.raises(ValueError, match=r"heads_apart is for fitted heads; set fitted_heads, or leave it out"):
        replace(SAVING, heads_apart=True)


def test_even_batches_are_of_the_one_half_and_odd_ones_of_the_other() -> None:
    class Numbered:
        def __init__(self, first: int) -> None:
            self.first = first

        def batch(self, step: int) -> tuple[Tensor, Tensor]:
            return torch.tensor([self.first + step]), torch.zeros(1)

    both = Alternating(Numbered(0), Numbered(100))
    assert [int(both.batch(step)[0]) for step in range(5)] == [0, 100, 1, 101, 2]


def test_halves_share_no_group_and_hold_every_class_or_there_are_none() -> None:
    def of(pairs: list[tuple[int, str]]) -> Dataset:
        samples = tuple(Sample(Path(f"{n}.mp4"), label, subject=who) for n, (label, who) in enumerate(pairs))
        return Dataset(("a", "b"), samples)

    halves = halve_groups(of([(n % 2, f"s{n // 2 % 5}") for n in range(40)]), seed=0)
    assert halves is not None
    first, second = halves
    assert len(first) + len(second) == 40
    assert {group_of(one) for one in first.samples}.isdisjoint(group_of(one) for one in second.samples)
    assert all({sample.label for sample in half.samples} == {0, 1} for half in halves)
    assert halve_groups(of([(0, "s0"), (0, "s1"), (1, "s0"), (1, "s0")]), seed=0) is None  # a class of one group
