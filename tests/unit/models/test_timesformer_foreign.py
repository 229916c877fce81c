"""TimeSformer's weights of other projects: ours answers as transformers does, and a file is taken whole or refused.

Shape suffixes: B clips, T frames, N = B * T, S tokens (the class token first), D features, C classes.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.checkpoints import CheckpointMismatch
from models.timesformer.config import TimeSformerConfig, tiny
from models.timesformer.embeddings import resize_positions, resize_times
from models.timesformer.foreign import Found, fit_to, read_foreign, under_their_names
from models.timesformer.layouts import LAYOUTS, LayoutName
from models.timesformer.network import TimeSformer, build_network
from tests.timesformers import FRAMES, HEADS, KINDS, SIZE_PX, huggingface, pixels, random_views, randomise

TOLERANCE = 1e-4


def network_of(found: Found) -> TimeSformer:
    network = build_network(found.config, 0)
    network.load_state_dict(found.tensors)
    return network


def ours(model: object, **shape: object) -> TimeSformer:
    found = read_foreign(model.state_dict(), num_heads=HEADS)  # type: ignore[attr-defined]
    return network_of(fit_to(found, num_frames=shape.get("num_frames"), view_size=shape.get("view_size")))  # type: ignore[arg-type]


def hidden_states(network: TimeSformer, views_BTHWC: Tensor) -> list[Tensor]:
    """Before each block, and after the last, in transformers' order: the frames of a place are consecutive."""
    states = [network.encoder.embedding(views_BTHWC.flatten(0, 1))]
    for block in network.encoder.blocks:
        states.append(block(states[-1]))
    config = network.config
    if config.scheme == "space":
        return states
    patches = [state[:, 1:].unflatten(1, (config.num_frames, -1)).transpose(1, 2).flatten(1, 2) for state in states]
    return [torch.cat((state[:, :1], one), dim=1) for state, one in zip(states, patches, strict=True)]


@pytest.mark.parametrize("scheme", ["divided", "joint"])
@torch.no_grad()
def test_logits_and_hidden_states_are_those_of_transformers(scheme: str) -> None:
    model, views_BTHWC = huggingface(scheme), random_views(2, FRAMES, SIZE_PX, SIZE_PX)
    network = ours(model)
    theirs = model(pixels(views_BTHWC), output_hidden_states=True)
    for found, wanted in zip(hidden_states(network, views_BTHWC), theirs.hidden_states, strict=True):
        torch.testing.assert_close(found, wanted, atol=TOLERANCE, rtol=TOLERANCE)
    torch.testing.assert_close(network(views_BTHWC), theirs.logits, atol=TOLERANCE, rtol=TOLERANCE)
    assert (theirs.logits[0] - theirs.logits[1]).abs().max() > 0.1  # clips that answer alike would compare nothing
    backwards = model(pixels(views_BTHWC.flip(1))).logits
    assert (backwards - theirs.logits).abs().max() > 100 * TOLERANCE


@torch.no_grad()
def test_space_alone_answers_per_frame_as_transformers_and_then_takes_the_mean_before_the_norm() -> None:
    model, views_BTHWC = huggingface("space"), random_views(2, FRAMES, SIZE_PX, SIZE_PX)
    network = ours(model)
    theirs = model(pixels(views_BTHWC), output_hidden_states=True)
    states = hidden_states(network, views_BTHWC)
    for found, wanted in zip(states, theirs.hidden_states, strict=True):
        torch.testing.assert_close(found, wanted, atol=TOLERANCE, rtol=TOLERANCE)
    per_frame_NC = network.classifier(network.encoder.norm(states[-1][:, 0]))
    torch.testing.assert_close(per_frame_NC, theirs.logits, atol=TOLERANCE, rtol=TOLERANCE)
    mean_BD = theirs.hidden_states[-1][:, 0].unflatten(0, (2, FRAMES)).mean(dim=1)
    wanted = model.classifier(model.timesformer.layernorm(mean_BD))
    torch.testing.assert_close(network(views_BTHWC), wanted, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize(("num_frames", "size"), [(8, (64, 48)), (4, (48, 48)), (12, (80, 32)), (24, (96, 96))])
@torch.no_grad()
def test_joint_at_other_lengths_and_sizes_is_transformers_at_run_time(num_frames: int, size: tuple[int, int]) -> None:
    model, views_BTHWC = huggingface("joint"), random_views(1, num_frames, *size)
    found = ours(model, num_frames=num_frames, view_size=size)(views_BTHWC)
    torch.testing.assert_close(found, model(pixels(views_BTHWC)).logits, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("rows", [32, 64, 96])
@torch.no_grad()
def test_divided_at_other_heights_is_transformers_at_run_time(rows: int) -> None:
    """Theirs takes frames and columns from its configuration: only the height may differ."""
    model, views_BTHWC = huggingface("divided"), random_views(1, FRAMES, rows, SIZE_PX)
    found = ours(model, view_size=(rows, SIZE_PX))(views_BTHWC)
    torch.testing.assert_close(found, model(pixels(views_BTHWC)).logits, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize(("num_frames", "size_px", "patch_px"), [(1, 32, 8), (3, 64, 16), (16, 48, 16)])
@pytest.mark.parametrize("scheme", ["divided", "joint"])
@torch.no_grad()
def test_models_of_any_frames_size_and_patch_agree(scheme: str, num_frames: int, size_px: int, patch_px: int) -> None:
    model = huggingface(scheme, num_frames=num_frames, image_size=size_px, patch_size=patch_px)
    views_BTHWC = random_views(2, num_frames, size_px, size_px)
    found = ours(model)(views_BTHWC)
    torch.testing.assert_close(found, model(pixels(views_BTHWC)).logits, atol=TOLERANCE, rtol=TOLERANCE)


def test_positions_are_resized_in_two_dimensions_and_the_class_keeps_its_own() -> None:
    rows, columns = torch.arange(2.0), torch.arange(3.0)
    position_SD = torch.cat((torch.tensor([[9.0, 9.0]]), torch.cartesian_prod(rows, columns)))
    found = resize_positions(position_SD, (2, 3), (4, 6))
    assert found[0].tolist() == [9.0, 9.0]
    wanted = torch.cartesian_prod(rows.repeat_interleave(2), columns.repeat_interleave(2))
    assert torch.equal(found[1:], wanted)
    assert torch.equal(resize_positions(found, (4, 6), (2, 3)), position_SD)
    with pytest.raises(ValueError, match="7 positions are not one for the class and 3 x 3"):
        resize_positions(position_SD, (3, 3), (4, 6))


def test_times_are_resized_to_the_nearest() -> None:
    time_TD = torch.arange(4.0)[:, None]
    assert resize_times(time_TD, 8)[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert resize_times(time_TD, 2)[:, 0].tolist() == [0, 2]


LAYOUT_SCHEMES = [
    (layout, scheme)
    for layout, schemes in {
        "official": ("divided", "joint", "space"),
        "huggingface": ("divided", "joint", "space"),
        "mmaction2": ("divided",),
        "mmaction2_one_attention": ("joint", "space"),
    }.items()
    for scheme in schemes
]
all_layouts = pytest.mark.parametrize(("layout", "scheme"), LAYOUT_SCHEMES)


def random_network(scheme: str) -> TimeSformer:
    # heads as wide as the published ones', so that nobody needs to tell their number
    config = TimeSformerConfig.from_dict(tiny().to_dict() | {"scheme": scheme, "dim": 128, "num_frames": 8})
    network = build_network(config, 0)
    randomise(network, seed=1)
    return network


@all_layouts
def test_every_layout_is_known_by_its_names_and_read_whole(layout: LayoutName, scheme: str) -> None:
    network = random_network(scheme)
    tensors = under_their_names(network, layout)
    assert not any("no official" in name or name.startswith("(") for name in tensors)
    for prefix in ("", "model.", "module."):
        found = read_foreign({prefix + name: tensor for name, tensor in tensors.items()})
        assert (found.layout, found.config) == (layout, replace(network.config, drop_path=0.1))
        assert all(torch.equal(found.tensors[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("scheme", KINDS)
def test_our_tensors_under_transformers_names_are_transformers_own(scheme: str) -> None:
    model = huggingface(scheme)
    again = under_their_names(ours(model), "huggingface")
    theirs = model.state_dict()
    assert again.keys() == theirs.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in theirs.items())


def test_schemes_that_nobody_released_have_no_foreign_names() -> None:
    for layout in LAYOUTS:
        with pytest.raises(ValueError, match="has no scheme axial, only"):
            under_their_names(build_network(tiny(scheme="axial"), 0), layout)


@all_layouts
def test_a_partial_file_is_refused_with_the_list_of_what_is_missing(layout: LayoutName, scheme: str) -> None:
    tensors = under_their_names(random_network(scheme), layout)
    gone = [name for name in tensors if name.endswith(".bias")][:3]
    with pytest.raises(CheckpointMismatch) as caught:
        read_foreign({name: tensor for name, tensor in tensors.items() if name not in gone})
    assert caught.value.missing == sorted(gone)
    assert caught.value.unexpected == caught.value.misshapen == []


def test_what_does_not_belong_is_refused_but_for_the_copies_that_the_authors_loader_makes() -> None:
    tensors = under_their_names(random_network("divided"), "official")
    copies = {name.replace("attn", "temporal_temporal_attn"): t for name, t in tensors.items() if ".attn.qkv" in name}
    found = read_foreign(tensors | copies)
    assert found.left == tuple(sorted(copies))
    with pytest.raises(CheckpointMismatch) as caught:
        read_foreign(tensors | {"optimizer.step": torch.zeros(1)})
    assert caught.value.unexpected == ["optimizer.step"]
    wrong = tensors | {"blocks.1.mlp.fc1.weight": torch.zeros(3, 128)}
    with pytest.raises(CheckpointMismatch, match=r"mlp.fc1.weight \(3, 128\) instead of \(64, 128\)"):
        read_foreign(wrong)


def test_another_networks_file_is_refused_with_what_it_holds() -> None:
    with pytest.raises(ValueError, match=r"no layout of TimeSformer that is known here.* the file holds conv1.weight"):
        read_foreign({"conv1.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="is this two networks in one file"):
        read_foreign({"model.head.weight": torch.zeros(1), "head.weight": torch.zeros(1)})


def test_weights_that_are_not_finite_are_refused() -> None:
    tensors = under_their_names(random_network("joint"), "official")
    tensors["norm.bias"][0] = torch.nan
    with pytest.raises(ValueError, match=r"not finite: encoder.norm.bias; the file is damaged"):
        read_foreign(tensors)
