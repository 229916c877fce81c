"""Training starts from an image ViT: before the first step a TimeSformer sees in each frame what the ViT sees there.

Shape suffixes: B clips, T frames, N = B * T, S tokens (the class token first), D features.
"""

import importlib.util
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.checkpoints import CheckpointMismatch
from models.timesformer.config import Scheme, TimeSformerConfig, tiny
from models.timesformer.image_vit import start_from_image_vit, timm_names
from models.timesformer.network import TimeSformer, build_network
from tests.conftest import require
from tests.timesformers import random_views, randomise

CONFIG = TimeSformerConfig(
    5, num_frames=4, view_size=(48, 48), patch_px=16, dim=64, depth=3, num_heads=4, mlp_dim=128, drop_path=0.0
)


def image_vit(size_px: int = 48) -> Any:
    require(importlib.util.find_spec("transformers") is not None, "transformers (extra `dev`)")
    from transformers import ViTConfig, ViTForImageClassification  # noqa: PLC0415  # not everywhere

    shape = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
    model = ViTForImageClassification(ViTConfig(image_size=size_px, layer_norm_eps=1e-6, **shape)).eval()
    randomise(model, seed=3)
    return model


def started(model: Any, scheme: Scheme, **changes: Any) -> TimeSformer:
    network = build_network(replace(CONFIG, scheme=scheme, **changes), seed=0)
    randomise(network, seed=5)  # what is not copied must be set to zero, not found at zero
    start_from_image_vit(network, model.state_dict())
    return network


def seen_by_vit(model: Any, frames_NHWC: Tensor) -> tuple[list[Tensor], Tensor]:
    """(hidden states, features_ND after the last norm) of each frame by itself."""
    pixels_NCHW = ((frames_NHWC.float() / 255 - 0.45) / 0.225).permute(0, 3, 1, 2)
    found = model.vit(pixels_NCHW, output_hidden_states=True)
    return list(found.hidden_states), found.last_hidden_state[:, 0]


@pytest.mark.parametrize("scheme", ["divided", "space"])
@torch.no_grad()
def test_of_a_still_clip_the_features_are_the_image_vits(scheme: Scheme) -> None:
    model = image_vit()
    still = random_views(2, 1, 48, 48).expand(-1, 4, -1, -1, -1)
    _, wanted_BD = seen_by_vit(model, still[:, 0])
    found_BD = started(model, scheme).encoder(still.flatten(0, 1))
    torch.testing.assert_close(found_BD, wanted_BD, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_space_alone_takes_the_mean_of_what_the_image_vit_sees_in_each_frame() -> None:
    model, frames_NHWC = image_vit(), random_views(2, 4, 48, 48).flatten(0, 1)
    states, _ = seen_by_vit(model, frames_NHWC)
    wanted_BD = model.vit.layernorm(states[-1][:, 0].unflatten(0, (2, 4)).mean(dim=1))
    torch.testing.assert_close(started(model, "space").encoder(frames_NHWC), wanted_BD, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_divided_sees_moving_frames_as_the_image_vit_does_until_frames_meet_in_the_class_token() -> None:
    """After the first block, that is: from then on the class token, which is one for all frames, joins them."""
    model, frames_NHWC = image_vit(), random_views(2, 4, 48, 48).flatten(0, 1)
    states, _ = seen_by_vit(model, frames_NHWC)
    encoder = started(model, "divided").encoder
    tokens_BSD = encoder.embedding(frames_NHWC)
    for wanted_NSD in states[:2]:
        found_NSD = tokens_BSD[:, 1:].unflatten(1, (4, 9)).flatten(0, 1)
        torch.testing.assert_close(found_NSD, wanted_NSD[:, 1:], atol=1e-4, rtol=1e-4)
        tokens_BSD = encoder.blocks[0](tokens_BSD)


@pytest.mark.parametrize("scheme", ["divided", "local_global", "axial"])
def test_every_step_starts_from_the_images_attention_and_adds_nothing_yet(scheme: Scheme) -> None:
    network = started(image_vit(64), scheme, view_size=(64, 64))
    for block in network.encoder.blocks:
        for step in block.patch_steps:
            assert torch.equal(step.attention.qkv.weight, block.attention.qkv.weight)
            assert torch.equal(step.norm.bias, block.norm.bias)
            assert not step.fc.weight.any()
            assert not step.fc.bias.any()
    assert network.encoder.embedding.time_TD is not None
    assert not network.encoder.embedding.time_TD.any()


def test_timms_layout_is_taken_as_well_and_positions_fit_another_size() -> None:
    model = image_vit()
    names = timm_names(model.state_dict())
    assert names["blocks.1.attn.qkv.weight"].shape == (192, 64)
    from_timm, from_transformers = (build_network(CONFIG, seed=0) for _ in range(2))
    start_from_image_vit(from_timm, {name: tensor for name, tensor in names.items() if "classifier" not in name})
    start_from_image_vit(from_transformers, model.state_dict())
    for one, other in zip(from_timm.parameters(), from_transformers.parameters(), strict=True):
        assert torch.equal(one, other)
    wider = build_network(replace(CONFIG, view_size=(96, 48)), seed=0)
    start_from_image_vit(wider, model.state_dict())
    position_SD = model.state_dict()["vit.embeddings.position_embeddings"][0]
    assert torch.equal(wider.encoder.embedding.position_SD[1:4], position_SD[1:4])
    assert torch.equal(wider.encoder.embedding.position_SD[4:7], position_SD[1:4])  # each row twice


def test_the_classifier_keeps_its_own_weights() -> None:
    network = build_network(CONFIG, seed=0)
    before = network.classifier.weight.clone()
    start_from_image_vit(network, image_vit().state_dict())
    assert torch.equal(network.classifier.weight, before)


def test_another_networks_weights_are_refused_and_nothing_is_copied() -> None:
    network = build_network(CONFIG, seed=0)
    before = [parameter.clone() for parameter in network.parameters()]
    tensors = image_vit().state_dict()
    shallow = build_network(replace(CONFIG, depth=2), seed=0)
    partial = {name: tensor for name, tensor in tensors.items() if "k_proj" not in name}
    for target, wrong in ((network, {"conv1.weight": torch.zeros(1)}), (shallow, tensors), (network, partial)):
        with pytest.raises(CheckpointMismatch):
            start_from_image_vit(target, wrong)
    with pytest.raises(CheckpointMismatch):
        start_from_image_vit(
            build_network(tiny(), seed=0), {name: t for name, t in tensors.items() if ".2." not in name}
        )
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
