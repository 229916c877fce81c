"""Heads in closed form: ridge regression on standardised features, and no other weight is touched."""

from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig, Aggregation
from models.adafocus.placed import PlacedAdaFocus
from tests.unit.models.placed_cubes import MOTION, PERSON
from tests.unit.training.runs import MODEL, SAVING, clips, network, trainer
from training.adafocus.heads import _sums_of
from training.family import Regression
from training.fit.feature_cache import FeatureCache
from training.fit.head_fit import HeadFit
from training.fit.heads import LOGIT_SCALE, RIDGE, fit_heads, regressed, ridge_regression
from training.fit.networks import build
from training.fit.recipe import Stage
from training.fit.run import BEST, ModelPlan
from training.full_frame.network import FullFrame, FullFrameConfig

CLIP_CUBES = replace(MODEL, cube_size=(3, 32, 32), max_cubes=2, aggregation="joint_statistics", dropout=0.0)


def batches(count: int = 6) -> list[tuple[Tensor, Tensor]]:
    clips_BTHWC, labels_B = clips(MODEL, 4 * count, seed=0)
    return list(zip(clips_BTHWC.split(4), labels_B.split(4), strict=True))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("num_features", [5, 60], ids=["among features", "among rows"])
@pytest.mark.parametrize("class_power", [0.0, 0.5, 1.0], ids=["videos alike", "half-way", "classes alike"])
def test_ridge_regression_is_the_least_penalised_squared_error_on_standardised_features(
    num_features: int, class_power: float
) -> None:
    torch.manual_seed(0)
    labels_R = torch.tensor([0] * 16 + [1] * 9 + [2] * 4 + [3])
    x_RF, y_RC = 3 + 2 * torch.randn(30, num_features), torch.eye(4)[labels_R]
    weight_CF, bias_C = ridge_regression(x_RF, labels_R, 4, penalty=2.0, class_power=class_power)
    deviation_F = x_RF.std(dim=0, correction=0) + 1e-3
    weight_R = torch.tensor([16.0, 9.0, 4.0, 1.0])[labels_R] ** -class_power
    weight_R /= weight_R.mean()

    def penalised(weight_CF: Tensor, bias_C: Tensor) -> float:
        """The bias is free."""
        error_RC = x_RF @ weight_CF.T + bias_C - y_RC
        return float((weight_R[:, None] * error_RC.square()).sum() + 2 * (weight_CF * deviation_F).square().sum())

    least = penalised(weight_CF, bias_C)
    for _ in range(20):
        assert penalised(weight_CF + 0.01 * torch.randn_like(weight_CF), bias_C) > least
        assert penalised(weight_CF, bias_C + 0.01 * torch.randn_like(bias_C)) > least
        both = weight_CF + 0.01 * torch.randn_like(weight_CF), bias_C + 0.01 * torch.randn_like(bias_C)
        assert penalised(*both) > least


def test_fitted_heads_know_the_clips_that_they_were_fitted_on() -> None:
    built = network(CLIP_CUBES)
    clips_BTHWC, labels_B = (torch.cat(parts) for parts in zip(*batches(), strict=True))

    def right() -> Tensor:
        with torch.no_grad():
            return (built.eval()(clips_BTHWC).logits_BEC.argmax(dim=2) == labels_B[:, None]).float().mean(dim=0)

    before_E = right()
    fit_heads(built, batches(), generator())
    assert (right() > before_E).all()
    assert (right() > 0.6).all()


def test_nothing_but_linear_heads_changes_and_the_same_batches_give_the_same_heads() -> None:
    one, other = network(CLIP_CUBES), network(CLIP_CUBES)
    before = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    for built in (one, other):
        fit_heads(built, batches(2), generator())
    changed = {name for name, tensor in one.state_dict().items() if not torch.equal(tensor, before[name])}
    heads = {name for name, module in one.named_modules() if isinstance(module, nn.Linear) and "policy" not in name}
    steps = {"classifier.step_heads.weight_KCD", "classifier.step_heads.bias_KC"}
    assert changed == {f"{head}.{kind}" for head in heads for kind in ("weight", "bias")} | steps
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("aggregation", ["average", "joint_statistics"])
def test_the_heads_of_the_full_frame_baseline_are_one_regression_on_both_networks(aggregation: Aggregation) -> None:
    model = replace(CLIP_CUBES, aggregation=aggregation, focus_input="differences")
    built = build(ModelPlan("full_frame", FullFrameConfig(model, False, True).to_dict()))
    assert isinstance(built, FullFrame)
    fit_heads(built, batches(), generator())
    clips_BTHWC, labels_B = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    with torch.no_grad():
        both_BF = torch.cat(list(built.pooled(clips_BTHWC).values()), dim=1)
        weight_CF, bias_C = ridge_regression(both_BF, labels_B, model.num_classes, RIDGE * both_BF.shape[1])
        expected_BC = LOGIT_SCALE * (both_BF @ weight_CF.T + bias_C)
        torch.testing.assert_close(built(clips_BTHWC).logits_BEC[:, 0], expected_BC, atol=1e-3, rtol=1e-3)


def test_every_cube_counts_alike_in_the_heads_that_see_fewer_than_all() -> None:
    pooled_BKF = torch.eye(3)[None]  # cube k is the k-th unit vector
    assert [len(list(_sums_of(count, pooled_BKF))) for count in (1, 2, 3)] == [3, 3, 1]
    for count in (1, 2, 3):
        total = torch.stack(list(_sums_of(count, pooled_BKF))).sum(dim=(0, 1))
        assert (total == total[0]).all()


def test_learned_heads_have_seen_where_the_policy_looks() -> None:
    plain, learned, moved = network(CLIP_CUBES), network(CLIP_CUBES), network(CLIP_CUBES)
    with torch.no_grad():
        moved.policy.layers[-2].bias.add_(5)
    for built, sees in ((plain, False), (learned, True), (moved, True)):
        fit_heads(built, batches(2), generator(), learned=sees)
    steps = [built.classifier.step_heads.weight_KCD for built in (plain, learned, moved)]
    assert not torch.allclose(steps[0], steps[1])
    assert not torch.allclose(steps[1], steps[2])
    assert torch.equal(learned.classifier.glance_head.weight, plain.classifier.glance_head.weight)


def test_heads_behind_layers_that_must_be_learnt_have_no_closed_form() -> None:
    with pytest.raises(ValueError, match=r"max_pool classifier .* take aggregation average or joint_statistics"):
        fit_heads(network(MODEL), batches(1), generator())


def test_a_stage_that_makes_fitted_heads_worse_leaves_them_as_they_were(tmp_path: Path) -> None:
    harm = Stage(1, "random", ("classifier",), lr=1e3)
    recipe = replace(SAVING, stages=(harm,), fitted_heads=True, optimizer="adamw")
    trainer(tmp_path, recipe, network(CLIP_CUBES), plain=batches).train()
    fitted = network(CLIP_CUBES)
    trainer(tmp_path, recipe, fitted, plain=batches)._fit_heads()
    kept = safetensors.torch.load_file(tmp_path / BEST)
    assert all(torch.equal(kept[name], tensor) for name, tensor in fitted.state_dict().items())


def test_where_the_policy_alone_is_trained_the_heads_follow_it_in_closed_form(tmp_path: Path) -> None:
    recipe = replace(
        SAVING, stages=(Stage(2, "learned", ("policy",), lr=0.05),), fitted_heads=True, patience_epochs=None
    )
    trainer(tmp_path, replace(recipe, folds=2), network(CLIP_CUBES), plain=batches).train()
    kept = safetensors.torch.load_file(tmp_path / BEST)
    again = network(CLIP_CUBES)
    again.load_state_dict(kept)
    at_first = network(CLIP_CUBES)
    fit_heads(at_first, batches(), generator())
    fit_heads(again, batches(), torch.Generator().manual_seed(1), learned=True)  # as the trainer seeds its random cubes
    moved = kept["policy.layers.0.weight"] - at_first.state_dict()["policy.layers.0.weight"]
    assert moved.abs().max() > 0
    steps = "classifier.step_heads.weight_KCD"
    assert not torch.allclose(kept[steps], at_first.state_dict()[steps])
    torch.testing.assert_close(kept[steps], again.state_dict()[steps])


# --- blocks of features, and features that are kept ---


def test_blocks_weigh_alike_however_wide_they_are() -> None:
    torch.manual_seed(0)
    labels_R = torch.arange(40) % 2
    useful_RF = labels_R[:, None] + 0.3 * torch.randn(40, 1)
    noise_RF = torch.randn(40, 99)
    rows_NRF = torch.cat((useful_RF, noise_RF), dim=1)[:, None]

    def share_of_the_useful(blocks: tuple[int, ...]) -> float:
        weight_CF, _ = regressed(head_of(blocks), rows_NRF, labels_R, HeadFit(block_ridge=0.5))
        return float(weight_CF[0, 0].abs() / weight_CF[0].abs().sum())

    assert share_of_the_useful((1, 99)) > 3 * share_of_the_useful((100,))


def head_of(blocks: tuple[int, ...], num_classes: int = 2, *, local_blocks: tuple[int, ...] = ()) -> Regression:
    weight_CF = torch.zeros(num_classes, sum(blocks))
    return Regression((weight_CF,), (torch.zeros(num_classes),), itemgetter("rows"), blocks, local_blocks)


def test_a_local_block_of_twice_the_weight_is_worth_as_much_as_standing_there_twice() -> None:
    torch.manual_seed(0)
    labels_N = torch.arange(24) % 3
    other_NRF, local_NRF = torch.randn(24, 1, 4), torch.randn(24, 1, 6)
    once_NRF, twice_NRF = torch.cat((other_NRF, local_NRF), dim=2), torch.cat((other_NRF, local_NRF, local_NRF), dim=2)
    heavy_CF, heavy_C = regressed(
        head_of((4, 6), 3, local_blocks=(1,)), once_NRF, labels_N, HeadFit(block_ridge=0.1, local_weight=2.0)
    )
    there_CF, there_C = regressed(head_of((4, 6, 6), 3), twice_NRF, labels_N, HeadFit(block_ridge=0.1))
    told_NC, again_NC = once_NRF[:, 0] @ heavy_CF.T + heavy_C, twice_NRF[:, 0] @ there_CF.T + there_C
    torch.testing.assert_close(told_NC, again_NC)


def test_a_clip_in_two_forms_is_held_back_as_one_clip_is() -> None:
    torch.manual_seed(0)
    rows_NRF, labels_N = torch.randn(12, 1, 8), torch.arange(12) % 3
    head, twice_NRF = head_of((3, 5), 3), rows_NRF.repeat(2, 1, 1)
    once = regressed(head, rows_NRF, labels_N)
    for one, other in zip(once, regressed(head, twice_NRF, labels_N.repeat(2), num_forms=2), strict=True):
        torch.testing.assert_close(one, other)
    surer_CF, _ = regressed(head, twice_NRF, labels_N.repeat(2))
    assert float(surer_CF.norm()) > float(once[0].norm())


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"class_power": 1.5}, "class_power is 1.5, but must lie in"),
        ({"block_ridge": 0.0}, "block_ridge is 0.0, but must be above 0"),
        ({"local_weight": -1.0}, "local_weight is -1.0, but must be above 0"),
    ],
)
def test_a_weight_that_is_none_is_refused(values: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        HeadFit(**values)


@pytest.mark.parametrize("placed", [PERSON, MOTION])
def test_heads_of_placed_cubes_know_the_clips_that_they_were_fitted_on_and_kept_features_change_nothing(
    placed: AdaFocusConfig, tmp_path: Path
) -> None:
    config = replace(placed, num_classes=MODEL.num_classes)
    built = PlacedAdaFocus(config).eval()
    clips_BTHWC, labels_B = clips(config, 16, seed=0)
    some = list(zip(clips_BTHWC.split(4), labels_B.split(4), strict=True))
    fit_heads(built, some, generator())
    with torch.no_grad():
        logits_BEC = built(clips_BTHWC).logits_BEC
    assert (logits_BEC.argmax(dim=2) == labels_B[:, None]).all()
    cache = FeatureCache(tmp_path, built, "fp32")
    for _ in range(2):
        fit_heads(built, some, generator(), cache=cache)
        with torch.no_grad():
            torch.testing.assert_close(built(clips_BTHWC).logits_BEC, logits_BEC, atol=1e-3, rtol=1e-3)
        assert len(list(cache.folder.iterdir())) == 16


def test_kept_features_are_used_again_and_never_those_of_other_encoders_or_precisions(tmp_path: Path) -> None:
    built = PlacedAdaFocus(PERSON).eval()
    clips_BTHWC, _ = clips(PERSON, 4, seed=0)
    cache = FeatureCache(tmp_path, built, "fp32")
    with torch.no_grad():
        first = cache.features(built, clips_BTHWC, generator(), learned=False)
    built.glance = built.focus = None  # type: ignore[assignment]  # nothing is looked at again
    again = cache.features(built, clips_BTHWC, generator(), learned=False)
    assert all(torch.equal(first[name], again[name]) for name in ("glance", "memory"))
    other = PlacedAdaFocus(PERSON).eval()
    assert FeatureCache(tmp_path, other, "fp32").folder != cache.folder
    assert FeatureCache(tmp_path, other, "fp32").folder == FeatureCache(tmp_path, other, "fp32").folder
    assert FeatureCache(tmp_path, other, "bf16").folder != FeatureCache(tmp_path, other, "fp32").folder
    with torch.no_grad():
        other.classifier.glance_head.weight.add_(1)
    folder = FeatureCache(tmp_path, other, "fp32").folder
    with torch.no_grad():
        next(other.focus.parameters()).add_(1)
    assert FeatureCache(tmp_path, other, "fp32").folder != folder
