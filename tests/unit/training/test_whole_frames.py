"""The full-frame baseline of models whose cubes a rule places: the same features and heads, of every whole frame."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.adafocus.config import AdaFocusConfig
from models.adafocus.shapes import tiny
from models.backbones.config import BackboneConfig
from models.runtime import RuntimeConfig, make_runtime
from training.families import find_training, training_of
from training.fit.networks import build
from training.fit.plans import find_plan
from training.fit.run import ModelPlan
from training.full_frame.whole import WholeFrames, WholeFramesConfig, build_network, step_flops
from video.clip import ClipRule

NET = BackboneConfig("mobilenet_v2", width_mult=0.35, padding="same")
PLACED = replace(
    tiny(4),
    frame_size=(96, 112),
    glance_size=(64, 64),
    glance=NET,
    focus=NET,
    cube_size=(1, 64, 64),
    max_cubes=2,
    step_frames=((2,), (0,)),
    aggregation="pooled_roots",
    placement="centre",
    middle_features=True,
)
ALONE = WholeFramesConfig(PLACED, key_points=False)


def clips(num: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (num, PLACED.num_frames, *PLACED.frame_size, 3), np.uint8))


def test_of_what_ships_it_costs_what_sixteen_frames_of_224_by_320_cost() -> None:
    plan = find_plan("compact", 15)
    for name, gflops in (("whole-frames", 8.4), ("whole-frames-alone", 6.85)):
        model = plan.model_plan(name)
        training = find_training(model.family)
        (cost,) = training.family.step_flops(training.family.read_config(model.config))
        assert cost / 1e9 == pytest.approx(gflops, abs=0.15)


@torch.no_grad()
def test_it_answers_once_and_every_frame_counts() -> None:
    network = build_network(ALONE, seed=0)
    whole = clips(2)
    logits_BEC = network(whole).logits_BEC
    assert logits_BEC.shape == (2, 1, 4)
    for frame in range(PLACED.num_frames):
        other = whole.clone()
        other[:, frame] = 255 - other[:, frame]
        assert not torch.allclose(network(other).logits_BEC, logits_BEC)


@torch.no_grad()
def test_its_recognizer_answers_as_the_network_does_and_its_one_regression_is_its_head() -> None:
    network = build_network(ALONE, seed=0)
    whole = clips(1)
    rule = ClipRule(PLACED.num_frames, *PLACED.frame_size, "stretch")
    training = training_of(network)
    recognizer = training.family.make_recognizer(
        network, rule, [1.0], make_runtime(RuntimeConfig(name="torch", precision="fp32"))
    )
    (state,) = recognizer.glance([whole[0].numpy()])
    logits_C = network(whole).logits_BEC[0, 0]
    np.testing.assert_allclose(state.probabilities_C, logits_C.softmax(dim=0).numpy(), atol=1e-5)
    (head,) = training.regressions(network)
    rows_NRF = head.rows(training.features(network, whole, torch.Generator(), learned=False))
    torch.testing.assert_close(rows_NRF[0, 0] @ head.weights[0].T + head.biases[0], logits_C)


def test_a_name_that_is_no_baseline_of_placed_cubes_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="whole-frames and whole-frames-alone"):
        WholeFramesConfig.named(PLACED, "tsn+")


def test_its_configuration_survives_json_and_makes_the_same_network() -> None:
    plan = ModelPlan("whole_frames", json.loads(json.dumps(ALONE.to_dict())))
    assert WholeFramesConfig.from_dict(plan.config) == ALONE
    one, other = build(plan, seed=3), build(plan, seed=3)
    assert isinstance(one, WholeFrames)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    with pytest.raises(ValueError, match="key_points"):
        WholeFramesConfig.from_dict({**ALONE.to_dict(), "key_points": "yes"})


def test_its_price_is_one_number_that_grows_with_key_points() -> None:
    placed = find_plan("compact", 15).model
    assert isinstance(placed, AdaFocusConfig)
    assert step_flops(WholeFramesConfig(placed, key_points=True)) > step_flops(
        WholeFramesConfig(placed, key_points=False)
    )
