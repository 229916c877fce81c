"""Prices are exact: they agree with torch's own counter and with the figures that the papers publish."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from models.adafocus.costs import step_flops
from models.adafocus.shapes import clip_cubes, frame_cubes
from models.backbones.build import build_backbone
from models.backbones.config import BackboneConfig, BackboneName
from models.flops import count_call_flops, count_flops


def backbone_flops(name: BackboneName, side_px: int) -> int:
    with torch.device("meta"):
        return count_flops(build_backbone(BackboneConfig(name)), torch.empty(1, 3, side_px, side_px))


MN2_224 = backbone_flops("mobilenet_v2", 224)
R50_224 = backbone_flops("resnet50", 224)


@pytest.mark.parametrize(
    ("flops", "published_gmac"),
    [
        pytest.param(MN2_224, 0.2995, id="MobileNetV2, a frame"),
        pytest.param(backbone_flops("resnet50", 96), 0.7507, id="ResNet-50, a crop of 96"),
        pytest.param(backbone_flops("resnet50", 128), 1.3346, id="ResNet-50, a crop of 128"),
        pytest.param(8 * R50_224, 32.7, id="TSM"),
        pytest.param(8 * R50_224 + 8 * MN2_224, 35.1, id="TSM+"),
        pytest.param(sum(step_flops(clip_cubes(174))[:2]), 18.5, id="AdaFocusV2, glance, policy and one clip cube"),
        pytest.param(18 * MN2_224, 5.39, id="the floor of 18 glance frames"),
    ],
)
def test_published_figures_are_met_within_half_a_percent(flops: int, published_gmac: float) -> None:
    assert isinstance(flops, int)
    assert flops / 1e9 == pytest.approx(published_gmac, rel=5e-3)


def test_a_cube_of_the_paper_size_model_is_its_crop_plus_a_small_head() -> None:
    glance, first, second, *_ = step_flops(frame_cubes(200, cube=96))
    assert 0 < glance - 18 * MN2_224 < 0.1e9
    assert 0 < second - backbone_flops("resnet50", 96) < 0.02e9
    assert first - second == pytest.approx(76e6, rel=0.01)  # the policy


class EveryKindOfProduct(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, stride=2, groups=2)
        self.conv3d = nn.Conv3d(1, 2, (2, 3, 3), padding=1)
        self.linear = nn.Linear(6, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = self.linear(self.conv(images).flatten(2).transpose(1, 2))
        scores = rows @ rows.transpose(1, 2)
        volume = self.conv3d(images[:, None]).sum()
        return torch.einsum("bij,bjk->bik", scores, rows) + volume


def test_convolutions_linear_layers_and_matrix_products_count_as_torch_counts_them() -> None:
    module, images = EveryKindOfProduct().eval(), torch.rand(2, 4, 11, 9)
    with FlopCounterMode(display=False) as torch_counter, torch.no_grad():
        module(images)
    assert count_flops(module, images) == count_call_flops(module, images) == torch_counter.get_total_flops() // 2 > 0


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_fused_attention_counts_as_its_two_products(device: str) -> None:
    query = torch.empty(2, 3, 10, 8, device=device)  # torch's own counter misses this on the CPU
    key, value = torch.empty(2, 3, 7, 8, device=device), torch.empty(2, 3, 7, 4, device=device)
    flops = count_call_flops(F.scaled_dot_product_attention, query, key, value)
    assert flops == 2 * 3 * (10 * 7 * 8 + 10 * 7 * 4)


def test_counting_touches_neither_weights_nor_batch_norm_statistics_nor_mode() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert count_flops(module, torch.rand(2, 3, 8, 8)) == 2 * 4 * 36 * 27
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_additions_norms_activations_and_resizing_are_free() -> None:
    def light(images: torch.Tensor) -> torch.Tensor:
        return F.interpolate(F.relu(F.batch_norm(images, None, None, training=True)), scale_factor=2).softmax(1) + 1

    assert count_call_flops(light, torch.rand(2, 3, 8, 8)) == 0
