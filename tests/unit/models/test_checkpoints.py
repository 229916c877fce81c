"""Checkpoints load whole, from the layouts that exist in the wild, or not at all."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from models.backbones.build import Backbone, build_backbone
from models.backbones.config import BackboneConfig
from models.channels import IMAGENET_MEAN, IMAGENET_STD
from models.checkpoints import CheckpointMismatch, load_backbone
from models.normalize import Normalize

SMALL = BackboneConfig("mobilenet_v2", width_mult=0.1)
SHARED = Path(__file__).parents[4] / "shared"


def seeded(config: BackboneConfig, seed: int) -> Backbone:
    torch.manual_seed(seed)
    return build_backbone(config).eval()


def assert_loads(tensors: dict[str, Tensor], source: Backbone, config: BackboneConfig) -> None:
    target = seeded(config, 99)
    load_backbone(target, tensors)
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor), name


@pytest.mark.parametrize("prefix", ["", "module.", "module.base_model."])
def test_wrappers_are_stripped(prefix: str) -> None:
    source = seeded(SMALL, 0)
    assert_loads({prefix + name: tensor for name, tensor in source.state_dict().items()}, source, SMALL)


def test_what_tsm_wrapped_is_unwrapped() -> None:
    source = seeded(BackboneConfig("resnet18"), 0)
    wrapped = {name.replace("conv1.weight", "conv1.net.weight"): t for name, t in source.state_dict().items()}
    assert_loads(wrapped, source, BackboneConfig("resnet18"))


def test_tonylins_flat_mobilenet_is_understood() -> None:
    source = seeded(SMALL, 0)
    flat = {}
    for name, tensor in source.state_dict().items():
        head, _, rest = name.partition(".conv.")
        if rest and head == "features.1":  # depthwise, projection
            rest = _replace_start(rest, {"0.0.": "0.", "0.1.": "1.", "1.": "3.", "2.": "4."})
        elif rest:  # expansion, depthwise, projection
            rest = _replace_start(
                rest, {"0.0.": "0.", "0.1.": "1.", "1.0.": "3.", "1.1.": "4.", "2.": "6.", "3.": "7."}
            )
        flat[f"{head}.conv.{rest}" if rest else name] = tensor
    assert flat.keys() != source.state_dict().keys()
    assert_loads(flat, source, SMALL)


def _replace_start(name: str, table: dict[str, str]) -> str:
    start = next(start for start in table if name.startswith(start))
    return table[start] + name.removeprefix(start)


def test_half_precision_weights_become_single() -> None:
    source = seeded(SMALL, 0)
    target = seeded(SMALL, 1)
    load_backbone(target, {n: t.half() if t.is_floating_point() else t for n, t in source.state_dict().items()})
    weight = target.state_dict()["features.0.0.weight"]
    assert weight.dtype == torch.float32
    assert torch.equal(weight, source.state_dict()["features.0.0.weight"].half().float())


def test_an_imagenet_head_is_dropped_only_when_told() -> None:
    source = seeded(SMALL, 0)
    tensors = dict(source.state_dict()) | {"classifier.1.weight": torch.ones(1000, 1280)}
    with pytest.raises(CheckpointMismatch, match=r"1 unexpected:\n  classifier.1: weight"):
        load_backbone(seeded(SMALL, 1), tensors)
    load_backbone(seeded(SMALL, 1), tensors, drop_head=True)


def test_a_partial_load_is_refused_whole_and_lists_names_by_module() -> None:
    tensors = dict(seeded(BackboneConfig("resnet18"), 0).state_dict())
    del tensors["layer2.0.conv1.weight"], tensors["layer2.0.bn1.bias"]
    tensors["layer9.conv.weight"] = torch.ones(1)
    tensors["conv1.weight"] = torch.ones(1)
    target = seeded(BackboneConfig("resnet18"), 1)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(CheckpointMismatch) as caught:
        load_backbone(target, tensors)
    message = str(caught.value)
    assert caught.value.missing == ["layer2.0.bn1.bias", "layer2.0.conv1.weight"]
    assert caught.value.unexpected == ["layer9.conv.weight"]
    assert "2 missing:\n  layer2.0: bn1.bias, conv1.weight" in message
    assert "1 unexpected:\n  layer9.conv: weight" in message
    assert "conv1: weight (1,) instead of (64, 3, 7, 7)" in message
    assert all(torch.equal(before[name], tensor) for name, tensor in target.state_dict().items())
    assert isinstance(caught.value, ValueError)


def test_two_networks_in_one_file_are_not_mixed() -> None:
    tensors = seeded(SMALL, 0).state_dict()
    both = {"module." + name: tensor for name, tensor in tensors.items()} | dict(tensors)
    with pytest.raises(ValueError, match="two networks"):
        load_backbone(seeded(SMALL, 1), both)


@pytest.mark.parametrize(
    ("file", "head", "config"),
    [
        ("mobilenet_v2_torchvision", "classifier.1", BackboneConfig("mobilenet_v2")),
        ("resnet50_v1_stride1x1_pruned", "fc", BackboneConfig("resnet50", stride_in_1x1=True)),
    ],
)
def test_real_imagenet_weights_see_the_racket_or_the_ball_on_a_tennis_court(
    file: str, head: str, config: BackboneConfig
) -> None:
    path = SHARED / "weights" / f"{file}.safetensors"
    videos = sorted(SHARED.glob("data/val/tennis_*/*.mp4"))[::6]
    if not path.exists() or not videos:
        pytest.skip("needs the ImageNet weights and the tennis clips, which are not part of this repository")
    tensors = load_file(path)
    network = build_backbone(config).eval()
    load_backbone(network, tensors, drop_head=True)
    normalize = Normalize(IMAGENET_MEAN, IMAGENET_STD, "rgb")
    hits = 0
    with torch.inference_mode():
        for video in videos:
            images_NCHW = F.interpolate(normalize(_middle_square(video)), (224, 224), mode="bilinear")
            features_NC = network(images_NCHW).mean((2, 3))
            logits_NC = features_NC @ tensors[f"{head}.weight"].float().T + tensors[f"{head}.bias"]
            hits += bool({752, 852} & set(logits_NC.topk(5).indices[0].tolist()))  # racket, tennis ball
    assert hits >= 0.8 * len(videos)


def _middle_square(video: Path) -> Tensor:
    """One frame, uint8 (1, side, side, 3)."""
    with av.open(str(video)) as container:
        frame_HWC = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][15]
    height, width, _ = frame_HWC.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return torch.from_numpy(np.ascontiguousarray(frame_HWC[None, top : top + side, left : left + side]))
