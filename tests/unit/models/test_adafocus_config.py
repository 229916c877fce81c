"""A model's shape is a value: it survives JSON and refuses what cannot be."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from models.adafocus.config import AdaFocusConfig
from models.adafocus.costs import step_flops
from models.adafocus.network import build_network
from models.adafocus.shapes import clip_cubes, compact, frame_cubes, tiny
from models.backbones.config import BackboneConfig

from .placed_cubes import PERSON


@pytest.mark.parametrize("config", [tiny(), compact(10), frame_cubes(200, cube=96), clip_cubes(174, cube_frames=8)])
def test_a_configuration_survives_json(config: AdaFocusConfig) -> None:
    assert AdaFocusConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_paper_size_models_have_the_papers_numbers() -> None:
    frames = frame_cubes(200)
    assert (frames.num_frames, frames.frame_size, frames.cube_size, frames.max_cubes) == (
        18,
        (224, 224),
        (1, 128, 128),
        18,
    )
    clips = clip_cubes(174)
    assert (clips.num_frames, clips.glance_indices) == (16, (0, 2, 4, 6, 8, 10, 12, 14))
    assert (clips.cube_size, clips.max_cubes, clips.temporal_shift) == ((12, 128, 128), 2, True)
    assert (frames.glance.name, frames.focus.name, frames.classifier_hidden) == ("mobilenet_v2", "resnet50", 4096)


def test_the_compact_model_is_small_enough_for_two_cores() -> None:
    config = compact(50)
    glance, _, cube, *_ = step_flops(config)
    assert glance < 0.45e9
    assert cube < 0.1e9
    assert max(config.classifier_hidden, *config.policy_hidden) <= 512


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_classes": 1}, "num_classes is 1"),
        ({"max_cubes": 7}, "max_cubes is 7"),  # six frames
        ({"max_cubes": 0}, "max_cubes is 0"),
        ({"num_frames": 6.5}, "num_frames is 6.5"),
        ({"cube_size": (1, 65, 32)}, r"must fit the clip's \(6, 64, 64\)"),
        ({"cube_size": (7, 32, 32)}, "must fit"),
        ({"cube_size": (32, 32)}, "cube_size"),
        ({"glance_indices": ()}, "glance_indices"),
        ({"glance_indices": (0, 6)}, r"within 0\.\.5"),
        ({"glance_indices": (2, 1)}, "must rise"),
        ({"glance_indices": (0, 1.0)}, "whole numbers"),
        ({"glance_size": (64, 65)}, "at most frame_size"),
        ({"temporal_shift": True}, "at least 2 images"),
        ({"temporal_shift": "no"}, "true or false"),
        ({"aggregation": "sum"}, "max_pool"),
        ({"aggregation": "joint_statistics"}, "at least 2 images"),
        ({"focus_input": "differences"}, "lone one differs from nothing"),
        ({"focus_input": "flow"}, "focus_input is 'flow'"),
        ({"glance_features": 1}, "true or false"),
        ({"channel_order": "gbr"}, "bgr"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"std": (1.0, 0.0, 1.0)}, "std above 0"),
        ({"policy_hidden": (16, 0)}, "policy_hidden"),
    ],
)
def test_an_impossible_shape_is_refused_with_its_value_and_rule(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(tiny(), **change)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.pop("num_classes"),
        lambda values: values.pop("glance"),
        lambda values: values.update(colour="red"),
        lambda values: values["focus"].update(depth=3),
        lambda values: values.update(frame_size=64),
        lambda values: values.update(dropout="much"),
        lambda values: values.update(focus=None),
    ],
)
def test_reading_is_strict(spoil: Any) -> None:
    values = tiny().to_dict()
    spoil(values)
    with pytest.raises(ValueError, match="AdaFocusConfig"):
        AdaFocusConfig.from_dict(values)


def test_a_network_follows_from_configuration_and_seed_and_leaves_the_random_state_alone() -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, again, other = (build_network(tiny(), seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_every_backbone_serves_as_focus_network() -> None:
    for name in ("mobilenet_v2", "resnet18", "resnet34", "resnet50"):
        config = replace(tiny(), focus=BackboneConfig(name))
        assert len(step_flops(config)) == config.max_cubes + 1


def test_a_rule_names_the_frames_of_each_step_and_a_policy_may_take_any() -> None:
    assert PERSON.step_indices == (PERSON.glance_indices, *PERSON.step_frames)
    config = clip_cubes(10)
    assert config.step_indices == (config.glance_indices, *[tuple(range(16))] * config.max_cubes)
