"""Image networks: published shapes, two stride placements, and the temporal shift."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.backbones.build import build_backbone
from models.backbones.config import BackboneConfig, BackboneName, num_cells
from models.backbones.mobilenet_v2 import InvertedResidual, MobileNetV2, SameConv2d
from models.backbones.temporal_shift import temporal_shift
from models.backbones.widths import round_channels

NAMES: tuple[BackboneName, ...] = ("mobilenet_v2", "resnet18", "resnet34", "resnet50")


@pytest.mark.parametrize(
    ("name", "num_parameters"),  # torchvision's documented counts, less the 1000-way head
    [
        ("mobilenet_v2", 3_504_872 - 1_281_000),
        ("resnet18", 11_689_512 - 513_000),
        ("resnet34", 21_797_672 - 513_000),
        ("resnet50", 25_557_032 - 2_049_000),
    ],
)
def test_parameters_are_as_many_as_torchvision_documents(name: BackboneName, num_parameters: int) -> None:
    with torch.device("meta"):
        assert sum(tensor.numel() for tensor in build_backbone(BackboneConfig(name)).parameters()) == num_parameters


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side_px", [32, 96, 100, 112, 144])
def test_a_map_has_a_cell_per_32_pixels_rounded_up(name: BackboneName, side_px: int) -> None:
    with torch.device("meta"):
        network = build_backbone(BackboneConfig(name))
        maps_NChw = network(torch.empty(2, 3, side_px, 64))
    assert maps_NChw.shape == (2, network.num_features, num_cells(side_px), 2)
    assert num_cells(side_px) == -(-side_px // 32)


def test_stride_placement_changes_the_function_but_neither_names_nor_shapes() -> None:
    torch.manual_seed(0)
    in_3x3 = build_backbone(BackboneConfig("resnet50")).eval()
    in_1x1 = build_backbone(BackboneConfig("resnet50", stride_in_1x1=True)).eval()
    in_1x1.load_state_dict(in_3x3.state_dict())
    images_NCHW = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert in_1x1(images_NCHW).shape == in_3x3(images_NCHW).shape
        assert not torch.allclose(in_1x1(images_NCHW), in_3x3(images_NCHW), rtol=0.1)


@pytest.mark.parametrize(("width", "channels"), [(1.0, 32), (0.5, 16), (0.1, 8), (0.35, 16), (1.4, 48)])
def test_channels_are_multiples_of_eight(width: float, channels: int) -> None:
    assert round_channels(32 * width) == channels


@given(width=st.floats(0.05, 4))
def test_rounding_never_loses_a_tenth_of_the_channels(width: float) -> None:
    assert round_channels(32 * width) % 8 == 0
    assert round_channels(32 * width) >= 0.9 * 32 * width


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "resnet101"},
        {"name": "resnet50", "width_mult": 0.5},
        {"name": "mobilenet_v2", "width_mult": 0.0},
        {"name": "mobilenet_v2", "stride_in_1x1": True},
        {"name": "resnet18", "stride_in_1x1": True},
        {"name": "mobilenet_v2", "padding": "valid"},
        {"name": "resnet18", "padding": "same"},
    ],
)
def test_a_backbone_that_does_not_exist_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"resnet50|mobilenet_v2|0, 4|symmetric"):
        BackboneConfig(**wrong)  # type: ignore[arg-type]


# --- padding ---


def test_padding_same_pads_as_tensorflow_does_right_and_below_alone() -> None:
    torch.manual_seed(0)
    same, symmetric = (SameConv2d(2, 3, 3, 2, 0, bias=False), torch.nn.Conv2d(2, 3, 3, 2, 1, bias=False))
    symmetric.load_state_dict(same.state_dict())
    images_NCHW = torch.rand(1, 2, 8, 12)
    shifted_NCHW = torch.nn.functional.pad(images_NCHW, (0, 1, 0, 1))[:, :, 1:, 1:]
    assert same(images_NCHW).shape == symmetric(images_NCHW).shape == (1, 3, 4, 6)
    # A kernel centred on odd pixels of the one sees what a kernel centred on even ones sees of the shifted image.
    assert torch.allclose(same(images_NCHW)[:, :, 1:, 1:], symmetric(shifted_NCHW)[:, :, 1:, 1:])
    assert not torch.allclose(same(images_NCHW), symmetric(images_NCHW))


def test_padding_changes_the_function_but_neither_names_nor_shapes() -> None:
    torch.manual_seed(0)
    symmetric = build_backbone(BackboneConfig("mobilenet_v2", width_mult=0.1)).eval()
    same = build_backbone(BackboneConfig("mobilenet_v2", width_mult=0.1, padding="same")).eval()
    same.load_state_dict(symmetric.state_dict())
    images_NCHW = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert same(images_NCHW).shape == symmetric(images_NCHW).shape == (1, 1280, 2, 3)
        assert not torch.allclose(same(images_NCHW), symmetric(images_NCHW), rtol=0.01)


def test_padding_same_refuses_sides_that_do_not_halve_five_times() -> None:
    config = BackboneConfig("mobilenet_v2", padding="same")
    config.check_size((96, 128))
    with pytest.raises(ValueError, match=r"\(96, 120\).*multiples of 32"):
        config.check_size((96, 120))
    BackboneConfig("mobilenet_v2").check_size((97, 121))


def test_maps_of_layers_in_between_are_those_that_the_last_map_came_through() -> None:
    torch.manual_seed(0)
    network = MobileNetV2(0.1).eval()
    images_NCHW = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        thirteenth, last = network.maps(images_NCHW, (13, 18))
        assert torch.equal(last, network(images_NCHW))
        assert torch.equal(network.features[18](run(network, thirteenth, range(14, 18))), last)
    assert (thirteenth.shape[1], last.shape[1]) == (network.channels[13], network.channels[18])


def run(network: MobileNetV2, maps: torch.Tensor, layers: range) -> torch.Tensor:
    for layer in layers:
        maps = network.features[layer](maps)
    return maps


# --- temporal shift ---


@settings(max_examples=30, deadline=None)
@given(clips=st.integers(1, 3), frames=st.integers(1, 5), channels=st.integers(1, 20))
def test_the_shift_does_what_a_plain_loop_does(clips: int, frames: int, channels: int) -> None:
    images_NCHW = torch.rand(clips * frames, channels, 2, 3)
    expected = images_NCHW.clone()
    eighth = channels // 8
    for clip in range(clips):
        for frame in range(frames):
            row = clip * frames + frame
            for channel in range(2 * eighth):
                source = frame + 1 if channel < eighth else frame - 1
                inside = 0 <= source < frames
                expected[row, channel] = images_NCHW[clip * frames + source, channel] if inside else 0
    assert torch.equal(temporal_shift(images_NCHW, frames), expected)


def test_mobilenet_shifts_at_tsms_ten_blocks() -> None:
    with torch.device("meta"):
        features = MobileNetV2().features
    shifting = [i for i, layer in enumerate(features) if isinstance(layer, InvertedResidual) and layer.shifts]
    assert shifting == [3, 5, 6, 8, 9, 10, 12, 13, 15, 16]


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "resnet50"])
def test_shifting_networks_mix_frames_of_a_clip_but_never_clips(name: BackboneName) -> None:
    torch.manual_seed(0)
    network = build_backbone(BackboneConfig(name)).eval()
    images_NCHW = torch.rand(4, 3, 32, 32)  # two clips of two frames
    changed_NCHW = images_NCHW.clone()
    changed_NCHW[1] += 1
    with torch.inference_mode():
        differs = (network(images_NCHW, 2) != network(changed_NCHW, 2)).flatten(1).any(1)
        alone = (network(images_NCHW) != network(changed_NCHW)).flatten(1).any(1)
    assert differs.tolist() == [True, True, False, False]
    assert alone.tolist() == [False, True, False, False]


def test_half_a_clip_is_an_error_not_a_mixture() -> None:
    with pytest.raises(RuntimeError):
        temporal_shift(torch.rand(5, 8, 2, 2), 2)
