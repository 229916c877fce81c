"""TimeSformer's five schemes: who attends to whom, how many parameters, what a view costs.

Shape suffixes: B clips, T frames, H rows, W columns, P patches, S tokens (the class token first), D features.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from models.timesformer.block import Attention, Block
from models.timesformer.config import Scheme, TimeSformerConfig, base, high_resolution, long_range, tiny, with_scheme
from models.timesformer.costs import num_parameters, step_flops
from models.timesformer.folding import fold
from models.timesformer.grouping import STEPS, StepName, grouping
from models.timesformer.network import TimeSformer, build_network

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
all_schemes = pytest.mark.parametrize("scheme", SCHEMES)
FRAMES, ROWS, COLUMNS = 4, 4, 6  # a small grid, no two axes that could be mixed up unseen
Place = tuple[int, int, int]
PLACES: tuple[Place, ...] = tuple(itertools.product(range(FRAMES), range(ROWS), range(COLUMNS)))


def half(index: int, count: int) -> bool:
    return index >= count // 2


# Figure 2 and section 3.2 of the paper, in words of single tokens: does the first attend to the second?
SEES: dict[StepName, Callable[[Place, Place], bool]] = {
    "joint": lambda q, k: True,
    "space": lambda q, k: q[0] == k[0],
    "time": lambda q, k: q[1:] == k[1:],
    "width": lambda q, k: q[:2] == k[:2],
    "height": lambda q, k: (q[0], q[2]) == (k[0], k[2]),
    "local": lambda q, k: half(q[1], ROWS) == half(k[1], ROWS) and half(q[2], COLUMNS) == half(k[2], COLUMNS),
    "global": lambda q, k: all((a - b) % 2 == 0 for a, b in zip(q, k, strict=True)),
}


def mask(step: StepName) -> Tensor:
    """mask_PP of one step, from the words above."""
    return torch.tensor([[SEES[step](query, key) for key in PLACES] for query in PLACES])


def lively(config: TimeSformerConfig, seed: int = 0) -> TimeSformer:
    """Every tensor random: nothing may hide behind a zero bias, a zero projection or equal times."""
    network = build_network(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            random = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name and name.endswith("weight")
            parameter.copy_(1 + 0.3 * random if is_norm else (0.2 if parameter.ndim > 1 else 0.4) * random)
    return network


def views(config: TimeSformerConfig, count: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = (count, config.num_frames, *config.view_size, 3)
    return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)


def small(scheme: Scheme) -> TimeSformerConfig:
    """One block on the small grid."""
    return replace(tiny(scheme=scheme), num_frames=FRAMES, view_size=(8 * ROWS, 8 * COLUMNS), depth=1)


def block_of(scheme: Scheme) -> Block:
    block = lively(small(scheme)).encoder.blocks[0].double()
    assert isinstance(block, Block)
    return block


@pytest.mark.parametrize("step", get_args(StepName))
def test_a_step_groups_exactly_the_tokens_of_the_papers_figure(step: StepName) -> None:
    groups = grouping(step, FRAMES, (ROWS, COLUMNS))
    numbers_1PD = torch.arange(len(PLACES))[None, :, None]
    split_NLD = groups.split(numbers_1PD)
    assert torch.equal(groups.join(split_NLD), numbers_1PD)
    together_PP = torch.zeros(len(PLACES), len(PLACES), dtype=torch.bool)
    for members in split_NLD[..., 0].tolist():
        for query, key in itertools.product(members, members):
            together_PP[query, key] = True
    assert torch.equal(together_PP, mask(step))
    two_clips = torch.cat((numbers_1PD, numbers_1PD + 1000))
    assert torch.equal(groups.join(groups.split(two_clips)), two_clips)


@all_schemes
def test_by_gradient_each_token_of_a_block_depends_on_what_its_steps_see_and_on_nothing_else(scheme: Scheme) -> None:
    """Brute force: the gradient of every output token by every input token, against the steps' masks one after the
    other. The class token reaches all patches, and all reach it."""
    if scheme == "space":  # each frame is a clip of its own there
        seen_PP = mask("space")
    else:
        seen_PP = torch.eye(len(PLACES), dtype=torch.bool)
        for step in STEPS[scheme]:  # what a step adds to what was seen before it
            seen_PP = (mask(step).float() @ seen_PP.float()) > 0
    block = block_of(scheme)
    number = torch.Generator().manual_seed(1)
    if scheme == "space":
        tokens_BSD = torch.randn(FRAMES, 1 + ROWS * COLUMNS, 32, generator=number, dtype=torch.float64)
    else:
        tokens_BSD = torch.randn(1, 1 + len(PLACES), 32, generator=number, dtype=torch.float64)
    tokens_BSD.requires_grad_()
    found_BSD = block(tokens_BSD)
    for query in range(len(PLACES)):
        clip, place = divmod(query, ROWS * COLUMNS) if scheme == "space" else (0, query)
        (gradient_BSD,) = torch.autograd.grad(found_BSD[clip, 1 + place].sum(), tokens_BSD, retain_graph=True)
        reached_P = gradient_BSD[:, 1:].abs().sum(dim=-1).flatten() > 1e-12
        assert torch.equal(reached_P, seen_PP[query]), PLACES[query]
        assert gradient_BSD[clip, 0].abs().sum() > 1e-12
    (gradient_BSD,) = torch.autograd.grad(found_BSD[0, 0].sum(), tokens_BSD)
    assert (gradient_BSD[0].abs().sum(dim=-1) > 1e-12).all()


def dense_attention(attention: Attention, tokens_SD: Tensor, mask_SS: Tensor) -> Tensor:
    """Attention of all tokens to all, held back by an explicit mask; written from the formula."""
    length, dim = tokens_SD.shape
    heads, width = attention.num_heads, dim // attention.num_heads
    query, key, value = attention.qkv(tokens_SD).reshape(length, 3, heads, width).unbind(1)
    scores_hSS = torch.einsum("shd,thd->hst", query, key) / width**0.5
    weights_hSS = scores_hSS.masked_fill(~mask_SS, -torch.inf).softmax(dim=-1)
    mixed: Tensor = attention.proj(torch.einsum("hst,thd->shd", weights_hSS, value).reshape(length, dim))
    return mixed


def dense_block(block: Block, scheme: Scheme, tokens_SD: Tensor) -> Tensor:
    """The block with full attention and masks: patches alone before the last step; in the last the class token asks
    each group in turn, and the answers are averaged."""
    class_D, patches_PD = tokens_SD[0], tokens_SD[1:]
    *before, last = STEPS[scheme]
    for step, module in zip(before, block.patch_steps, strict=True):
        found_PD = dense_attention(module.attention, module.norm(patches_PD), mask(step))
        patches_PD = patches_PD + module.fc(found_PD)
    mask_PP = mask(last)
    joined_SD = torch.cat((class_D[None], patches_PD))
    mask_SS = F.pad(mask_PP, (1, 0, 1, 0), value=True)
    answers = []
    for members_P in torch.unique(mask_PP, dim=0):  # each group once
        mask_SS[0, 1:] = members_P
        answers.append(dense_attention(block.attention, block.norm(joined_SD), mask_SS))
    found_SD = torch.cat((torch.stack(answers).mean(dim=0)[:1], answers[0][1:]))
    joined_SD = joined_SD + found_SD
    return joined_SD + block.mlp_out(F.gelu(block.mlp_in(block.mlp_norm(joined_SD))))


@pytest.mark.parametrize("scheme", ["joint", "divided", "local_global", "axial"])
def test_a_block_is_dense_attention_with_explicit_masks(scheme: Scheme) -> None:
    block = block_of(scheme)
    tokens_SD = torch.randn(1 + len(PLACES), 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(tokens_SD[None])[0], dense_block(block, scheme, tokens_SD))


@pytest.mark.parametrize(
    ("scheme", "with_400", "with_174"),
    [
        ("space", 86_106_256, 85_932_462),
        ("joint", 86_112_400, 85_938_606),
        ("divided", 121_566_352, 121_392_558),
        ("local_global", 121_566_352, 121_392_558),
        ("axial", 157_020_304, 156_846_510),
    ],
)
def test_parameters_are_those_of_the_papers_table_1(scheme: Scheme, with_400: int, with_174: int) -> None:
    assert num_parameters(with_scheme(400, scheme)) == with_400
    assert num_parameters(with_scheme(174, scheme)) == with_174


def test_the_larger_variants_have_more_embeddings_and_nothing_else() -> None:
    assert num_parameters(high_resolution(400)) == 122_024_080
    assert num_parameters(long_range(400)) == 121_633_936


def test_three_views_cost_what_the_paper_prints_in_teraflops() -> None:
    assert step_flops(base(400)) == (195_830_280_192,) * 3
    assert [round(sum(step_flops(variant(400))) / 1e12, 2) for variant in (base, high_resolution, long_range)] == [
        0.59,
        5.11,
        7.14,
    ]
    assert [round(step_flops(variant(400))[0] / 1e9, 1) for variant in (high_resolution, long_range)] == [
        1702.7,
        2379.9,
    ]


def by_hand(config: TimeSformerConfig) -> int:
    """Multiply-adds of a view from the paper's own quantities, scheme by scheme."""
    frames, (rows, columns), dim = config.num_frames, config.grid, config.dim
    patches = frames * rows * columns
    sizes: dict[StepName, tuple[int, int]] = {  # groups, patches of each
        "joint": (1, patches),
        "space": (frames, rows * columns),
        "time": (rows * columns, frames),
        "width": (frames * rows, columns),
        "height": (frames * columns, rows),
        "local": (4, frames * (rows // 2) * (columns // 2)),
        "global": (8, patches // 8),
    }

    def attention(groups: int, length: int) -> int:
        return groups * (length * 4 * dim * dim + 2 * length * length * dim)

    *before, last = ("space",) if config.scheme == "space" else STEPS[config.scheme]
    block = sum(attention(*sizes[step]) + patches * dim * dim for step in before)
    groups, length = sizes[last]
    block += attention(groups, length + 1)
    tokens = patches + (frames if config.scheme == "space" else 1)
    block += tokens * 2 * dim * config.mlp_dim
    return patches * dim * 3 * config.patch_px**2 + config.depth * block + dim * config.num_classes


@all_schemes
@pytest.mark.parametrize("form", [base(400), high_resolution(400), tiny()], ids=["base", "hr", "tiny"])
def test_the_price_is_the_arithmetic_of_the_scheme(form: TimeSformerConfig, scheme: Scheme) -> None:
    config = replace(form, scheme=scheme)
    assert step_flops(config) == (by_hand(config),) * 3
    assert step_flops(replace(config, num_views=1)) == (by_hand(config),)


@all_schemes
def test_frame_order_matters_but_to_the_scheme_that_looks_at_frames_alone(scheme: Scheme) -> None:
    config = tiny(scheme=scheme)
    network, frames = lively(config), views(config)
    with torch.no_grad():
        moved = (network(frames) - network(frames.flip(1))).abs().max().item()
    assert moved < 1e-5 if scheme == "space" else moved > 1e-2


@all_schemes
def test_folding_changes_nothing_but_the_number_of_operations(scheme: Scheme) -> None:
    config = tiny(scheme=scheme)
    network, frames_NHWC = lively(config), views(config).flatten(0, 1)
    folded = fold(network.encoder)
    with torch.no_grad():
        torch.testing.assert_close(folded(frames_NHWC), network.encoder(frames_NHWC), atol=1e-5, rtol=1e-5)
    saved = sum(p.numel() for p in network.encoder.parameters()) - sum(p.numel() for p in folded.parameters())
    steps = (len(STEPS[scheme]) - 1) * config.depth
    assert saved == steps * (config.dim + 1) * config.dim


@all_schemes
def test_folded_no_linear_layer_multiplies_a_strided_view(scheme: Scheme) -> None:
    """torch does that as a product of batches (bmm), for which it copies the weights once for each row."""
    folded = fold(lively(small(scheme)).encoder)
    view_NHWC = views(small(scheme), count=1)[0]  # of several, regrouping copies
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as seen:
        folded(view_NHWC)
    names = {event.key for event in seen.key_averages()}
    assert "aten::addmm" in names
    assert "aten::bmm" not in names


def test_folding_saves_the_stated_share_of_the_paper_sized_network() -> None:
    from models.flops import count_flops  # noqa: PLC0415  # beside its only use

    with torch.device("meta"):
        folded = fold_shapes(TimeSformer(base(400)))
    frames_NHWC = torch.empty(8, 224, 224, 3, dtype=torch.uint8, device="meta")
    whole = step_flops(base(400))[0] - 768 * 400
    assert round(1 - count_flops(folded, frames_NHWC) / whole, 3) == 0.057


def fold_shapes(network: TimeSformer) -> nn.Module:
    """What `fold` does to the operations, on tensors without data."""
    for module in network.encoder.modules():
        if hasattr(module, "fc"):
            module.fc = nn.Identity()
    return network.encoder


@all_schemes
def test_company_does_not_change_logits(scheme: Scheme) -> None:
    config = tiny(scheme=scheme)
    network, frames = lively(config), views(config, count=3)
    with torch.no_grad():
        alone = torch.cat([network(one[None]) for one in frames])
        torch.testing.assert_close(network(frames), alone, atol=1e-5, rtol=1e-5)


@all_schemes
def test_a_configuration_survives_json(scheme: Scheme) -> None:
    config = tiny(scheme=scheme)
    assert TimeSformerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_weights_follow_from_configuration_and_seed() -> None:
    same, other = build_network(tiny(), 3), build_network(tiny(), 4)
    before = torch.random.get_rng_state()
    again = build_network(tiny(), 3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), again.parameters(), strict=True))
    assert not torch.equal(same.classifier.weight, other.classifier.weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheme": "local_global", "num_frames": 3}, "even numbers"),
        ({"scheme": "sideways"}, "scheme is 'sideways', but must be one of"),
        ({"num_heads": 5}, "must divide the dim 32"),
        ({"view_size": (30, 32)}, "patches of 8 pixels must fill it"),
        ({"num_views": 2}, "must be 1 .the centre. or 3"),
        ({"num_classes": 1}, "a choice needs at least 2"),
        ({"depth": 0}, "depth is 0, but must be whole and at least 1"),
        ({"drop_path": 1.0}, "must lie in"),
        ({"std": (0.0, 1.0, 1.0)}, "std above 0"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimeSformerConfig.from_dict(tiny().to_dict() | changes)
    with pytest.raises(ValueError, match="unknown entries"):
        TimeSformerConfig.from_dict(tiny().to_dict() | {"colour": 1})


def test_a_view_of_another_shape_is_refused() -> None:
    network = build_network(tiny(), 0)
    for wrong in (torch.zeros(1, 5, 32, 32, 3, dtype=torch.uint8), torch.zeros(1, 4, 32, 32, 3)):
        with pytest.raises(ValueError, match="frames, rows and columns of one view or of all"):
            network(wrong)


def test_of_whole_frames_the_logits_are_the_sum_over_their_views() -> None:
    config = tiny()
    network = lively(config)
    parts = [views(config, seed=seed) for seed in range(3)]
    with torch.no_grad():
        wanted = sum(network(part) for part in parts)
        torch.testing.assert_close(network(torch.cat(parts, dim=3)), wanted, atol=1e-5, rtol=1e-5)


def test_stochastic_depth_leaves_additions_out_in_training_alone_and_keeps_their_mean() -> None:
    block = Block(tiny(), drop_path=0.5)
    found = torch.ones(4000, 1, 1)
    torch.manual_seed(0)
    kept = block.train()._dropped(found)
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert abs(kept.mean().item() - 1) < 0.1
    assert block.eval()._dropped(found) is found
