"""Training: what is learnt, what is left alone, when a stage ends, and what is refused."""

import math
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from models.adafocus.network import AdaFocusV3
from models.backbones.config import BackboneConfig
from tests.unit.training.runs import MODEL, SAVING, Watch, figures, network, trainer
from training.fit.averaging import WeightAverage
from training.fit.optimizers import make_optimizer, set_learning_rate
from training.fit.precision import set_modes
from training.fit.recipe import Rates, Recipe, Stage
from training.fit.run import BEST, DONE, METRICS
from training.full_frame.network import FullFrame, FullFrameConfig

TWO_STAGES = replace(
    SAVING, stages=(Stage(2, "random", ("glance", "focus", "classifier")), Stage(2, "learned", ("policy",)))
)


# --- what is learnt ---


def test_the_loss_of_every_exit_falls(tmp_path: Path) -> None:
    """On four colours, which a tiny network tells apart soon."""
    colours_C3 = torch.tensor([[200, 40, 40], [40, 200, 40], [40, 40, 200], [120, 120, 120]])

    def coloured(first: int) -> Generator[tuple[Tensor, Tensor], None, None]:
        generator = torch.Generator().manual_seed(0)
        while True:
            noise = torch.randint(-40, 41, (8, MODEL.num_frames, *MODEL.frame_size, 3), generator=generator)
            labels = torch.arange(8) % 4
            yield (colours_C3[labels, None, None, None] + noise).clamp(0, 255).to(torch.uint8), torch.eye(4)[labels]

    recipe = replace(
        SAVING, stages=(Stage(8, "both", lr=0.005),), batch_size=8, optimizer="adamw", rates=Rates(1, 1, 1, 1)
    )
    watch = Watch()
    made = trainer(tmp_path, recipe, report=watch)
    made.batches_from = coloured
    made.train()
    first, last = watch.rows[0], watch.rows[-1]
    for e in range(MODEL.max_cubes + 1):
        assert float(str(last[f"loss_exit_{e}"])) < 0.8 * float(str(first[f"loss_exit_{e}"]))


def test_the_second_stage_moves_the_policy_alone_and_goes_on_from_the_best_of_the_first(tmp_path: Path) -> None:
    class AtStageEnd(Watch):
        best: dict[str, Tensor]

        def epoch(self, row: dict[str, object]) -> None:
            super().epoch(row)
            if row["stage"] == 0:
                self.best = safetensors.torch.load_file(tmp_path / BEST)

    watch = AtStageEnd()
    built = network()
    initial = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    trainer(tmp_path, TWO_STAGES, built, report=watch).train()
    after = built.state_dict()
    for name, tensor in watch.best.items():
        if name.startswith("policy."):
            assert torch.equal(tensor, initial[name]), f"stage 1 changed {name}"
        else:  # weights and batch-norm statistics alike
            assert torch.equal(tensor, after[name]), f"stage 2 changed {name}"
    weights = [name for name, _ in built.named_parameters() if name.startswith("policy.") and "weight" in name]
    assert all(not torch.equal(after[name], initial[name]) for name in weights)


def test_what_is_frozen_stays_to_the_bit_and_costs_no_backward_pass(tmp_path: Path) -> None:
    frozen = ("glance.backbone.features.0.", "glance.backbone.features.1.", "focus.")
    recipe = replace(SAVING, frozen=frozen, frozen_batch_norm=True)
    built = network()
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    trainer(tmp_path, recipe, built).train()
    after = built.state_dict()
    for name, tensor in before.items():
        if name.startswith(frozen) or (name.startswith("glance.") and "running" in name):
            assert torch.equal(tensor, after[name]), name
    later = "glance.backbone.features.9.conv.2.weight"
    assert not torch.equal(before[later], after[later])
    assert built.get_parameter("glance.backbone.features.0.0.weight").grad is None


@pytest.mark.parametrize("named", ["glance.backbone.features.1", "glance.backbone.features.1."])
def test_what_is_frozen_is_named_by_whole_parts(named: str) -> None:
    """Block 1 is not blocks 10 to 18."""
    built, recipe = network(replace(MODEL, glance=BackboneConfig("mobilenet_v2"))), replace(SAVING, frozen=(named,))
    set_modes(built, Stage(1), recipe)
    frozen = {name for name, parameter in built.named_parameters() if not parameter.requires_grad}
    assert {name.split(".")[3] for name in frozen} == {"1"}
    still = {
        name for name, module in built.named_modules() if isinstance(module, nn.BatchNorm2d) and not module.training
    }
    assert {name.split(".")[3] for name in still} == {"1"}


def test_accumulated_batches_take_the_step_of_one_larger_batch(tmp_path: Path) -> None:
    """Where nothing else depends on the batch: frozen batch norms, no dropout, a baseline without random cubes."""
    config = FullFrameConfig(replace(MODEL, dropout=0.0), temporal_shift=True, with_glance=True)
    whole = replace(SAVING, frozen_batch_norm=True, batch_size=8)
    clips_BTHWC, targets_BC = next(trainer(tmp_path, whole).batches_from(0))

    def after_a_step(recipe: Recipe) -> dict[str, Tensor]:
        torch.manual_seed(0)
        built, watch = FullFrame(config), Watch(1)
        out = tmp_path / str(recipe.accumulation)
        out.mkdir()
        made = trainer(out, recipe, built, report=watch)
        size = recipe.batch_size
        made.batches_from = lambda _: (
            (clips_BTHWC[first : first + size], targets_BC[first : first + size]) for first in range(0, 8, size)
        )
        made.train(stop=watch.stop)
        return dict(built.state_dict())

    one, two = after_a_step(whole), after_a_step(replace(whole, batch_size=4, accumulation=2))
    torch.manual_seed(0)
    before = FullFrame(config).state_dict()
    for name in ("glance.backbone.features.9.conv.2.weight", "focus.backbone.features.9.conv.2.weight"):
        moved, apart = (one[name] - before[name]).norm(), (one[name] - two[name]).norm()
        assert moved > 0
        assert apart < 1e-2 * moved


# --- averaged weights ---


def test_the_average_is_what_is_scored_and_kept_and_a_killed_run_goes_on_with_it(tmp_path: Path) -> None:
    recipe = replace(SAVING, stages=(Stage(3, "random"),), average_decay=0.9)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    trained = network()
    trainer(whole, recipe, trained).train()
    kept = safetensors.torch.load_file(whole / BEST)
    assert any(not torch.equal(kept[name], tensor) for name, tensor in trained.state_dict().items())
    watch = Watch(4)
    assert not trainer(broken, recipe, report=watch).train(stop=watch.stop)
    assert trainer(broken, recipe).train()
    again = safetensors.torch.load_file(broken / BEST)
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_an_average_of_weights_that_stay_is_those_weights_and_lags_behind_those_that_move() -> None:
    module = nn.Linear(2, 2)
    before = module.weight.detach().clone()
    average = WeightAverage(module, decay=0.9)
    average.update(module, 0)
    torch.testing.assert_close(average.tensors["weight"], before)
    with torch.no_grad():
        module.weight += 1
    average.update(module, 1000)
    torch.testing.assert_close(average.tensors["weight"], before + 0.1)
    with average.in_place_of(module):
        torch.testing.assert_close(module.weight.detach(), before + 0.1)
    torch.testing.assert_close(module.weight.detach(), before + 1)


# --- when to stop, what to refuse ---


def test_a_stage_ends_after_so_many_epochs_without_a_better_score(tmp_path: Path) -> None:
    """A learning rate that changes no answer: the first epoch stays the best."""
    recipe = replace(SAVING, stages=(Stage(30, "random", ("classifier",), lr=1e-12),), patience_epochs=3)
    watch = Watch()
    model = replace(MODEL, aggregation="average")  # no batch norm whose statistics would move
    trainer(tmp_path, recipe, network(model), report=watch).train()
    assert len(watch.rows) <= 8
    best = max(
        range(len(watch.rows)), key=lambda i: (watch.rows[i]["held_out_accuracy"], -watch.rows[i]["held_out_loss"])
    )  # type: ignore[operator]
    assert len(watch.rows) - 1 - best == 3


def test_no_stage_ends_for_want_of_a_score_before_it_had_one(tmp_path: Path) -> None:
    recipe = replace(SAVING, stages=(Stage(3, "random"),), evaluate_every_epochs=3, patience_epochs=1)
    watch = Watch()
    trainer(tmp_path, recipe, report=watch).train()
    assert len(watch.rows) == 3
    assert (tmp_path / BEST).exists()


def test_epochs_without_an_evaluation_leave_its_columns_empty(tmp_path: Path) -> None:
    trainer(tmp_path, replace(SAVING, stages=(Stage(3, "random"),), evaluate_every_epochs=2)).train()
    rows = figures(tmp_path / METRICS)
    assert [row["held_out_loss"] != "" for row in rows] == [False, True, True]  # the last epoch always


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_what_was_saved(tmp_path: Path) -> None:
    built = network()
    assert isinstance(built, AdaFocusV3)
    nn.init.constant_(built.classifier.glance_head.weight, math.inf)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        trainer(tmp_path, SAVING, built).train()
    assert not (tmp_path / DONE).exists()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_each_part_learns_at_its_own_rate_and_norms_and_biases_do_not_decay(optimizer: str) -> None:
    recipe = Recipe((Stage(1),), optimizer=optimizer, weight_decay=0.1)  # type: ignore[arg-type]
    built = network()
    set_modes(built, recipe.stages[0], recipe)
    made = make_optimizer(built, recipe, recipe.stages[0])
    set_learning_rate(made, 0.01)
    names = {id(parameter): name for name, parameter in built.named_parameters()}
    rates = {"glance": 0.5, "policy": 0.1, "focus": 1.0}
    seen = set()
    for group in made.param_groups:
        for parameter in group["params"]:
            part = names[id(parameter)].split(".")[0]
            assert group["lr"] == pytest.approx(0.01 * rates.get(part, 5.0))
            is_weight = "weight" in names[id(parameter)].split(".")[-1] and parameter.ndim > 1
            assert group["weight_decay"] == (0.1 if is_weight else 0.0), names[id(parameter)]
            seen.add(id(parameter))
    assert seen == names.keys()
