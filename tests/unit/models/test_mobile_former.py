"""Video Mobile-Former's parts: who sees what, what differs between frames, and what an ablation changes.

Shape suffixes as in `models.mobile_former`.
"""

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.mobile_former.activations import DynamicReLU
from models.mobile_former.block import Block
from models.mobile_former.config import VARIANTS, MobileFormerConfig, compact, former_2g, former_5g, mobile3d, tiny
from models.mobile_former.folding import fold
from models.mobile_former.former import MobileToFormer
from models.mobile_former.network import VideoMobileFormer, build_network

TINY = tiny()
PLAIN = replace(TINY, squeeze_excitation=False)  # squeeze-excitation pools over the clip as well
ABLATIONS = {
    "as the paper": TINY,
    "tokens per frame": replace(TINY, tokens_per_frame=True),
    "2d": replace(TINY, depthwise="2d"),
    "(2+1)d": replace(TINY, depthwise="2+1d"),
    "relu": replace(TINY, activation="relu"),
    "dynamic relu": replace(TINY, activation="dynamic_relu"),
    "no squeeze-excitation": PLAIN,
    "stem stride 1": replace(TINY, stem_temporal_stride=1),
    "stem stride 8": replace(TINY, stem_temporal_stride=8),
    "downsampled in each stage": replace(TINY, stem_temporal_stride=1, stage_temporal_strides=(2, 2, 2, 1)),
    "deeper": replace(TINY, blocks=(2, 2, 3, 2)),
    "baseline": mobile3d(TINY),
}
all_ablations = pytest.mark.parametrize("name", ABLATIONS)


def clips(config: MobileFormerConfig, count: int = 2, seed: int = 0) -> Tensor:
    shape = (count, config.num_frames, *config.frame_size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def settled(config: MobileFormerConfig) -> VideoMobileFormer:
    """Norms with statistics of their own, as training leaves them."""
    network = build_network(config, seed=0).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm3d):
            module.momentum = None
            module.weight.data.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
            module.bias.data.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        network(clips(config, 4, seed=1))
    return network.eval()


def one_block(config: MobileFormerConfig) -> tuple[Block, Tensor, Tensor]:
    """A block of stage 2 that keeps sizes, in fp64, with an input of 12 frames and tokens."""
    generator = torch.Generator().manual_seed(3)
    channels = config.widths[1]
    torch.manual_seed(0)
    block = Block(config, 1, 1, channels).double().eval()
    x_BCTHW = torch.randn(1, channels, 12, 3, 4, dtype=torch.float64, generator=generator)
    num_sets = 12 if config.tokens_per_frame else 1
    tokens_BLMD = torch.randn(1, num_sets, 3, config.token_dim, dtype=torch.float64, generator=generator)
    return block, x_BCTHW, tokens_BLMD


def frames_changed_by_the_last(config: MobileFormerConfig) -> list[bool]:
    """For each frame of a block's output: does every position of it depend on the last frame of the input?"""
    block, x_BCTHW, tokens_BLMD = one_block(config)
    other_BCTHW = x_BCTHW.clone()
    other_BCTHW[:, :, -1] += 1
    with torch.no_grad():
        before_BCTHW, after_BCTHW = (block(x, tokens_BLMD)[0] for x in (x_BCTHW, other_BCTHW))
    changed_THW = (before_BCTHW != after_BCTHW).any(dim=1)[0]
    assert all(frame.all() or not frame.any() for frame in changed_THW), "all of a frame or nothing of it"
    return [bool(frame.all()) for frame in changed_THW]


class TestWhoSeesWhat:
    @pytest.mark.parametrize("per_frame", [False, True], ids=["shared tokens", "tokens per frame"])
    def test_one_far_frame_changes_every_position_of_one_block(self, per_frame: bool) -> None:
        assert all(frames_changed_by_the_last(replace(PLAIN, tokens_per_frame=per_frame)))

    def test_without_the_former_only_neighbours_in_time_change(self) -> None:
        assert frames_changed_by_the_last(mobile3d(PLAIN)) == [False] * 10 + [True] * 2

    def test_tokens_look_at_the_whole_clip_and_not_at_the_order_of_its_frames(self) -> None:
        torch.manual_seed(0)
        bridge = MobileToFormer(8, 16, num_heads=2).double()
        x_BCTHW, tokens_BLMD = torch.randn(1, 8, 6, 3, 4).double(), torch.randn(1, 1, 3, 16).double()
        looked = bridge(x_BCTHW, tokens_BLMD)
        shuffled = bridge(x_BCTHW[:, :, [3, 0, 5, 1, 4, 2]], tokens_BLMD)
        assert torch.allclose(looked, shuffled, atol=1e-12)
        x_BCTHW[:, :, 5] += 1
        assert (bridge(x_BCTHW, tokens_BLMD) != looked).all()

    def test_tokens_of_a_frame_look_at_that_frame_alone(self) -> None:
        torch.manual_seed(0)
        bridge = MobileToFormer(8, 16, num_heads=2).double()
        x_BCTHW, tokens_BLMD = torch.randn(1, 8, 6, 3, 4).double(), torch.randn(1, 6, 3, 16).double()
        looked = bridge(x_BCTHW, tokens_BLMD)
        x_BCTHW[:, :, 5] += 1
        changed_L = (bridge(x_BCTHW, tokens_BLMD) != looked).flatten(2).any(dim=2)[0]
        assert changed_L.tolist() == [False] * 5 + [True]


class TestDynamicReLU:
    def test_gives_each_frame_slopes_of_its_own_by_its_mean(self) -> None:
        torch.manual_seed(0)
        activation = DynamicReLU(4, 16, per_frame=True)
        activation.coefficients.weight.data.normal_(0, 3)
        pattern_BCTHW = torch.randn(1, 4, 1, 5, 6)
        pattern_BCTHW = pattern_BCTHW - pattern_BCTHW.mean(dim=(3, 4), keepdim=True)
        same_mean = torch.tensor([1.0, 1.0, 3.0]).reshape(1, 1, 3, 1, 1)
        u_BCTHW = pattern_BCTHW * torch.tensor([1.0, -2.0, 1.0]).reshape(1, 1, 3, 1, 1) + same_mean
        out_BCTHW = activation(u_BCTHW, torch.randn(1, 1, 2, 16))
        slope_CT = (out_BCTHW / u_BCTHW).flatten(3).max(dim=3).values[0]
        assert torch.allclose(slope_CT[:, 0], slope_CT[:, 1], atol=1e-5)
        assert ((slope_CT[:, 2] - slope_CT[:, 0]).abs() > 1e-3).any()

    def test_mobile_formers_own_treats_all_frames_alike(self) -> None:
        torch.manual_seed(0)
        activation = DynamicReLU(4, 16, per_frame=False)
        activation.coefficients.weight.data.normal_(0, 3)
        u_BCTHW = torch.cat((torch.ones(1, 4, 1, 2, 2), 3 * torch.ones(1, 4, 1, 2, 2)), dim=2)
        out_BCTHW = activation(u_BCTHW, torch.randn(1, 1, 2, 16))
        assert torch.allclose(3 * out_BCTHW[:, :, 0], out_BCTHW[:, :, 1])

    @pytest.mark.parametrize("per_frame", [True, False])
    def test_is_the_larger_of_two_lines(self, per_frame: bool) -> None:
        torch.manual_seed(0)
        activation = DynamicReLU(4, 16, per_frame=per_frame).double()
        activation.coefficients.weight.data.normal_(0, 3)
        tokens_BLMD = torch.randn(2, 1, 2, 16).double()
        u_BCTHW = torch.randn(2, 4, 3, 5, 6).double()
        given_BLD = tokens_BLMD[:, :, 0].expand(-1, 3, -1)
        if per_frame:
            given_BLD = torch.cat((u_BCTHW.mean(dim=(3, 4)).transpose(1, 2), given_BLD), dim=2)
        a_BTC = ((activation.coefficients(activation.squeeze(given_BLD).relu()) + 3) / 6).clamp(0, 1)
        first, second = (a.transpose(1, 2)[..., None, None] for a in a_BTC.chunk(2, dim=2))
        wanted = torch.maximum(2 * first * u_BCTHW, (2 * second - 1) * u_BCTHW)
        assert torch.allclose(activation(u_BCTHW, tokens_BLMD), wanted, atol=1e-12)

    def test_starts_close_to_relu(self) -> None:
        network = build_network(TINY, seed=0)
        u_BCTHW = torch.randn(1, 16, 2, 3, 4, generator=torch.Generator().manual_seed(0))
        out_BCTHW = network.encoder.blocks[0].expand_act(u_BCTHW, network.encoder.tokens_MD[None, None])
        assert torch.allclose(out_BCTHW, u_BCTHW.relu(), atol=0.05)


class TestNetwork:
    @all_ablations
    def test_every_ablation_answers_and_learns(self, name: str) -> None:
        network = build_network(ABLATIONS[name], seed=0).train()
        logits_BC = network(clips(network.config))
        torch.nn.functional.cross_entropy(logits_BC, torch.tensor([0, 1])).backward()
        silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert logits_BC.shape == (2, 5)
        assert silent == []

    @all_ablations
    def test_folding_leaves_the_function_as_it_is(self, name: str) -> None:
        network = settled(ABLATIONS[name])
        frames_NHWC = clips(network.config).flatten(0, 1)
        with torch.no_grad():
            features, folded = network.encoder(frames_NHWC), fold(network.encoder)(frames_NHWC)
        assert (features - folded).abs().max() <= 1e-4 * features.abs().max()
        assert not any(isinstance(module, torch.nn.BatchNorm3d) for module in fold(network.encoder).modules())

    def test_a_clip_may_have_fewer_frames_in_training(self) -> None:
        network = build_network(TINY, seed=0)
        assert network(clips(TINY)[:, ::2]).shape == (2, 5)

    def test_a_clip_is_answered_alike_in_any_company(self) -> None:
        network = settled(TINY)
        three = clips(TINY, 3)
        with torch.no_grad():
            together, alone = network(three), torch.cat([network(clip[None]) for clip in three])
        assert torch.allclose(together, alone, atol=1e-5)

    def test_weights_follow_from_the_seed_and_leave_torchs_random_numbers_alone(self) -> None:
        before = torch.get_rng_state()
        one, again, other = (build_network(TINY, seed).state_dict() for seed in (0, 0, 1))
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(one[name], again[name]) for name in one)
        assert not torch.equal(one["encoder.tokens_MD"], other["encoder.tokens_MD"])

    @pytest.mark.parametrize(
        "shape", [(2, 8, 32, 32, 3), (8, 32, 40, 3), (2, 8, 32, 40, 4), (2, 0, 32, 40, 3), (2, 8, 40, 32, 3)]
    )
    def test_another_shape_is_an_error_that_says_both(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"clips are torch.uint8 \(.*must be torch.uint8 .*32, 40") as error:
            build_network(TINY, seed=0)(torch.zeros(shape, dtype=torch.uint8))
        assert str(shape) in str(error.value)

    def test_another_type_is_an_error(self) -> None:
        with pytest.raises(ValueError, match=r"clips are torch.float32"):
            build_network(TINY, seed=0)(clips(TINY).float())

    def test_five_of_eight_frames_are_all_that_a_stem_of_stride_8_looks_at(self) -> None:
        network = settled(replace(TINY, stem_temporal_stride=8, num_frames=16))
        clip = clips(network.config, 1)
        with torch.no_grad():
            before = network.encoder(clip.flatten(0, 1))
            seen = []
            for t in range(16):
                other = clip.clone()
                other[:, t] = 255 - other[:, t]
                seen.append(not torch.equal(network.encoder(other.flatten(0, 1)), before))
        assert [t for t in range(16) if seen[t]] == [0, 1, 2, 6, 7, 8, 9, 10]


class TestConfig:
    @pytest.mark.parametrize("config", [TINY, former_5g(400), compact(15), mobile3d(TINY)])
    def test_survives_json(self, config: MobileFormerConfig) -> None:
        assert MobileFormerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config

    def test_widths_double_and_are_rounded_to_sixteens(self) -> None:
        assert former_2g(400).widths == (20, 48, 96, 192)
        assert replace(former_2g(400), dim=28).widths == (28, 64, 128, 256)
        assert former_2g(400).hidden(20) == 45

    def test_every_variant_can_be_built_for_any_number_of_classes(self) -> None:
        for variant in VARIANTS.values():
            assert variant(3).num_classes == 3

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"blocks": (1, 2, 3)}, r"blocks is \(1, 2, 3\), but must be 4"),
            ({"num_classes": 1}, "at least 2"),
            ({"num_frames": 0}, "num_frames is 0"),
            ({"expansion": 0.5}, "expansion is 0.5"),
            ({"depthwise": "4d"}, "depthwise is '4d', but must be one of"),
            ({"former": False}, "without a former"),
            ({"tokens_per_frame": True, "stage_temporal_strides": (2, 1, 1, 1)}, "a token's frame must stay a frame"),
            ({"bridge_heads": 3}, "bridge_heads is 3, but must divide"),
            ({"former_heads": 5}, "former_heads is 5, but must divide"),
            ({"dropout": 1.0}, "dropout is 1.0"),
            ({"squeeze_excitation": 1}, "squeeze_excitation is 1"),
            ({"std": (1.0, 0.0, 1.0)}, "std above 0"),
        ],
    )
    def test_what_cannot_be_is_named(self, change: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            replace(TINY, **change)

    @pytest.mark.parametrize("values", [{**TINY.to_dict(), "stray": 1}, {"num_classes": 5}])
    def test_what_is_no_configuration_is_refused(self, values: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=r"unknown entries \['stray'\]|not a MobileFormerConfig"):
            MobileFormerConfig.from_dict(values)
