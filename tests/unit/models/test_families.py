"""The table of families: each entry is whole, and whoever holds a configuration or a network finds it."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.adafocus.shapes import tiny as tiny_adafocus
from models.families import FAMILIES, find_family
from models.family import ModelConfig, config_of
from models.mobile_former.config import tiny as tiny_former
from models.single_pass import SinglePassRecognizer
from models.tsm.config import tiny as tiny_tsm
from training.families import TRAININGS, find_training, training_of
from training.untrained import variants
from video.clip import ClipRule

TINY: dict[str, ModelConfig] = {
    "adafocus_v3": tiny_adafocus(),
    "video_mobile_former": tiny_former(),
    "tsm": tiny_tsm(),
}


EVERY_VARIANT = {name: variant(7) for family in FAMILIES for name, variant in find_family(family).variants.items()}


@pytest.mark.parametrize("name", TINY)
def test_a_network_finds_its_configuration_its_family_and_its_training(name: str) -> None:
    family, config = find_family(name), TINY[name]
    network = family.build_network(config, 0)
    assert (config.family, config_of(network)) == (name, config)
    assert training_of(network).family is family
    heads = family.heads(network)
    assert all(len(head.bias_C) == config.num_classes for head in heads)
    assert all(isinstance(head.module, nn.Module) for head in heads)


@pytest.mark.parametrize("config", EVERY_VARIANT.values(), ids=EVERY_VARIANT)
def test_a_variants_configuration_survives_json_and_has_a_price(config: ModelConfig) -> None:
    family = find_family(config.family)
    assert family.read_config(json.loads(json.dumps(config.to_dict()))) == config
    assert "family" not in config.to_dict()
    assert min(family.step_flops(config)) > 0
    assert config.num_classes == 7


def test_the_papers_sizes_can_be_built_beside_the_compact_ones() -> None:
    assert {
        "adafocus-v3-frame-cubes",
        "adafocus-v3-paper-frame-cubes",
        "adafocus-v3-paper-clip-cubes",
        "video-mobile-former-compact",
        "video-mobile-former-5g",
    } <= variants().keys()
    assert len(find_family("adafocus_v3").step_flops(variants()["adafocus-v3-paper-frame-cubes"](200))) == 19


def test_a_family_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"family is 'vit', but must be one of adafocus_v3, video_mobile_former"):
        find_family("vit")
    with pytest.raises(ValueError, match=r"family is 'vit'.* full_frame"):
        find_training("vit")


def test_every_training_of_a_model_is_that_of_the_family_in_the_models_table() -> None:
    for name in TRAININGS:
        training = find_training(name)
        assert training.family.name == name
        assert name not in FAMILIES or training.family is find_family(name)


def test_a_single_pass_with_logits_that_are_not_finite_is_an_error() -> None:
    def broken(clips_THWC: object) -> Tensor:
        return torch.full((1, 3), torch.nan)

    recognizer = SinglePassRecognizer(
        lambda: broken,
        title="broken model",
        clip_size=(1, 8, 8),
        clip_rule=ClipRule(1, 8, 8, "stretch"),
        temperatures=[1.0],
        step_flops=(1,),
    )
    with pytest.raises(FloatingPointError, match="logits are not finite"):
        recognizer.glance([np.zeros((1, 8, 8, 3), np.uint8)])
