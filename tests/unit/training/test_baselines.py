"""Full-frame baselines: the published prices, TSM's answer, and JSON there and back."""

import json
from dataclasses import replace

import pytest
import torch

from models.adafocus.shapes import clip_cubes, frame_cubes
from tests.unit.training.runs import MODEL, clips
from training.fit.networks import build
from training.fit.run import ModelPlan
from training.full_frame.network import FullFrame, FullFrameConfig, step_flops

TSM_PLUS = FullFrameConfig(MODEL, temporal_shift=True, with_glance=True)


@pytest.mark.parametrize(
    ("with_glance", "published_gflops"), [(False, 32.7), (True, 35.1)], ids=["TSM", "TSM+"]
)  # AdaFocusV3, Table 4
def test_the_paper_size_costs_what_the_paper_says(with_glance: bool, published_gflops: float) -> None:
    config = FullFrameConfig(clip_cubes(174), temporal_shift=True, with_glance=with_glance)
    assert step_flops(config)[0] / 1e9 == pytest.approx(published_gflops, rel=0.005)


def test_tsn_sees_each_frame_once_at_a_resnet_50s_price() -> None:
    config = FullFrameConfig(frame_cubes(200), temporal_shift=False, with_glance=False)
    assert step_flops(config)[0] / 1e9 == pytest.approx(18 * 4.0871, rel=0.001)


@torch.no_grad()
def test_the_answer_is_the_sum_of_both_networks_mean_frame_logits() -> None:
    network = FullFrame(TSM_PLUS).eval()
    exits = network(clips(MODEL, 2, seed=0)[0])
    assert exits.logits_BEC.shape == (2, 1, 4)
    assert exits.positions_BK3.shape == (2, 0, 3)
    sums = exits.auxiliary_glance_BTC.mean(dim=1) + exits.auxiliary_focus_BKTC.mean(dim=(1, 2))
    torch.testing.assert_close(exits.logits_BEC[:, 0], sums)


@torch.no_grad()
def test_only_temporal_shift_makes_the_order_of_frames_matter() -> None:
    frames = clips(MODEL, 2, seed=0)[0]
    for shifts in (False, True):
        torch.manual_seed(0)
        network = FullFrame(replace(TSM_PLUS, temporal_shift=shifts)).eval()
        forward, backward = (network(one).logits_BEC for one in (frames, frames[:, [4, 3, 2, 1, 0, 5]]))
        assert torch.allclose(forward, backward, atol=1e-6) != shifts


def test_a_configuration_survives_json_and_makes_the_same_network() -> None:
    plan = ModelPlan("full_frame", json.loads(json.dumps(TSM_PLUS.to_dict())))
    assert FullFrameConfig.from_dict(plan.config) == TSM_PLUS
    one, other = build(plan, seed=3), build(plan, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("wrong", [{}, {"model": {}}, {**TSM_PLUS.to_dict(), "with_glance": "yes"}])
def test_what_is_no_configuration_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"FullFrameConfig|with_glance|AdaFocusConfig"):
        FullFrameConfig.from_dict(wrong)
