"""A network that starts from a bundle: of another number of labels, but of the same backbones."""

import pytest

from models import available_models
from models.adafocus.placed import build_any
from training.families import training_of
from training.fit.networks import build, start_from_bundle
from training.fit.plans import find_plan

SHIPPED = available_models()["adafocus-v3-compact"]


def test_plans_of_the_bundle_s_networks_start_from_the_one_that_ships() -> None:
    for plan in ("compact", "light", "compact-centre"):
        (start,) = start_from_bundle(build_any(find_plan(plan, 3).model, seed=0), SHIPPED)
        assert start.part == "all"


@pytest.mark.parametrize("name", ["whole-frames", "whole-frames-alone"])
def test_a_full_frame_baseline_takes_the_encoders_of_the_bundle_that_it_is_compared_with(name: str) -> None:
    network = build(find_plan("compact", 15).model_plan(name))
    before, theirs = network.state_dict(), build_any(find_plan("compact", 15).model, seed=0)
    start_from_bundle(theirs, SHIPPED)
    before = {key: tensor.clone() for key, tensor in before.items()}
    start_from_bundle(network, SHIPPED)
    encoders = training_of(network).backbones
    for key, tensor in network.state_dict().items():
        expected = theirs.state_dict()[key] if key.startswith(encoders) else before[key]
        assert tensor.equal(expected), key


def test_weights_of_a_network_that_pads_otherwise_are_refused_though_their_shapes_fit() -> None:
    network = build_any(find_plan("compact-learned", 3).model, seed=0)
    with pytest.raises(ValueError, match=r"another glance network: .*padding='same'.* \(--glance-weights\)"):
        start_from_bundle(network, SHIPPED)
