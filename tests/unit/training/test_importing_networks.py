"""Whole TSMs, AdaFocusV2s and Uni-AdaFocuses become bundles that answer as they do; what misfits is refused, listed."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.adafocus.network import build_network
from models.adafocus.shapes import frame_cubes
from models.bundle import Bundle
from models.loading import load_model
from models.runtime import RuntimeConfig
from models.tsm.config import TsmConfig
from tests.foreign_networks import (
    TSN,
    AdaFocusV2Tsm,
    FlatMobileNetV2,
    ResNet50,
    UniAdaFocus,
    UniAdaFocusTsm,
    patches,
    shake,
)
from training.fit.networks import start_parts
from training.foreign_files import read_foreign_file
from training.importing import Asked, Imported, import_checkpoint

LABELS = ["brew", "carve", "dive", "enter", "flip"]
CLASSES, SIDE, CELLS, CUBE = len(LABELS), 64, 2, 32
DEEP = "layer4.2.conv3.weight"
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "actions.txt"
    path.write_text("\n".join(LABELS))
    return path


def saved(network: nn.Module, path: Path, **beside: Any) -> Path:
    """As DataParallel and their training loops save it."""
    tensors = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"epoch": 50, "state_dict": tensors, "best_acc1": np.float64(51.5), **beside}, path)
    return path


def run(source: Path, labels: Path, out: Path, **asked: Any) -> Imported:
    return import_checkpoint(str(source), labels, out, Asked(**asked))


def pixels(frames_THWC: np.ndarray) -> Tensor:
    return ((torch.from_numpy(frames_THWC).float() / 255 - MEAN) / STD).permute(0, 3, 1, 2)


def steps_of(imported: Imported, clip_THWC: np.ndarray) -> list[Any]:
    recognizer = load_model(imported.bundle.folder, runtime=RuntimeConfig(name="torch", precision="fp32")).recognizer
    states = recognizer.glance([clip_THWC])
    found = [states[0]]
    for _ in recognizer.step_flops[1:]:
        states = recognizer.focus(states)
        found.append(states[0])
    return found


def assert_answers(state: Any, logits_C: Tensor) -> None:
    wanted = logits_C.flatten().softmax(dim=0).numpy()
    assert wanted.max() < 0.999  # otherwise nothing could differ
    np.testing.assert_allclose(state.probabilities_C, wanted, atol=2e-4)


@pytest.mark.parametrize("shift", [True, False], ids=["tsm", "tsn"])
@pytest.mark.parametrize("kind", [FlatMobileNetV2, ResNet50])
@torch.no_grad()
def test_a_tsm_answers_as_its_own_code_does(kind: Any, shift: bool, labels: Path, tmp_path: Path) -> None:
    network = shake(TSN(kind, 4, CLASSES, shift=shift), seed=1)
    source = saved(network, tmp_path / "TSM_kinetics_RGB_x_shift8_blockres_avg_segment4_e100.pth.tar")
    imported = run(source, labels, tmp_path / "served", view_size=(SIDE, SIDE))
    config = imported.bundle.config
    assert isinstance(config, TsmConfig)
    assert (config.num_frames, config.temporal_shift) == (4, shift)
    clip = patches(4)
    (state,) = steps_of(imported, clip)
    logits = network(pixels(clip))[0]
    assert (network(pixels(patches(4, seed=1)))[0] - logits).abs().max() > 0.05
    assert_answers(state, logits)
    told = "\n".join(imported.notes)
    for words in ("4 frames: as the file's name says", "nothing stays untrained", "licence: MIT", "channel order rgb"):
        assert words in told


def test_a_tsm_whose_image_network_holds_the_head_is_the_same(labels: Path, tmp_path: Path) -> None:
    tensors = shake(TSN(FlatMobileNetV2, 8, CLASSES), seed=1).state_dict()
    renamed = {name.replace("new_fc", "base_model.classifier"): tensor for name, tensor in tensors.items()}
    digests = []
    for number, named in enumerate((tensors, renamed)):
        torch.save({"model_state_dict": named}, tmp_path / "tsm.pth")
        digests.append(run(tmp_path / "tsm.pth", labels, tmp_path / f"b{number}").bundle.manifest.weights_sha256)
    assert digests[0] == digests[1]


def test_dense_sampling_and_frames_are_read_in_the_files_name_or_asked(labels: Path, tmp_path: Path) -> None:
    source = saved(shake(TSN(FlatMobileNetV2, 8, CLASSES), 1), tmp_path / "TSM_mobilenetv2_segment8_e100_dense.pth")
    assert run(source, labels, tmp_path / "dense").bundle.clip_rule.window_s == pytest.approx(64 / 30, abs=1e-3)
    rule = run(source, labels, tmp_path / "asked", num_frames=16, stride=0).bundle.clip_rule
    assert (rule.num_frames, rule.window_s, rule.resize) == (16, None, "center_crop")


@torch.no_grad()
def test_adafocus_v2_with_temporal_shift_answers_as_its_own_code_does_policy_and_all(
    labels: Path, tmp_path: Path
) -> None:
    network: Any = shake(AdaFocusV2Tsm(4, CLASSES, CELLS), seed=2)
    imported = run(saved(network, tmp_path / "sthv1_p32.pth.tar", arch="resnet50"), labels, tmp_path / "served")
    config = imported.bundle.config
    assert isinstance(config, AdaFocusConfig)
    assert (config.num_frames, config.glance_indices, config.cube_size) == (6, (0, 2, 3, 5), (6, CUBE, CUBE))
    clip = patches(6)
    logits, action = network(pixels(clip[list(config.glance_indices)]), pixels(clip), CUBE)
    first, last = steps_of(imported, clip)
    other = network(pixels(clip[list(config.glance_indices)]), pixels(clip.swapaxes(1, 2)), CUBE)
    assert (other[0] - logits).abs().max() > 0.05
    assert_answers(last, logits)
    assert_answers(first, network.global_CNN(pixels(clip[list(config.glance_indices)]))[0])
    room = SIDE - CUBE
    assert (last.cube.t, last.cube.y, last.cube.x) == (0, int(action[0] * room), int(action[1] * room))
    assert min(last.cube.y, last.cube.x) > 0
    told = "\n".join(imported.notes)
    for words in ("cubes of 32 pixels: as the file's name says", "6 frames a clip, 4 of them to glance at: assumed"):
        assert words in told
    assert "nothing stays untrained" in told
    assert "left 0 tensors" in told


@torch.no_grad()
def test_uni_adafocus_answers_as_its_own_code_would_with_cubes_in_the_middle(labels: Path, tmp_path: Path) -> None:
    network: Any = shake(UniAdaFocus(4, 3, CLASSES, CELLS, hidden=48), seed=3)
    imported = run(saved(network, tmp_path / "actnet.pth"), labels, tmp_path / "served", cube_px=CUBE)
    config = imported.bundle.config
    assert isinstance(config, AdaFocusConfig)
    assert (config.num_frames, config.glance_indices, config.max_cubes) == (12, (1, 4, 7, 10), 3)
    clip = patches(12)
    states = steps_of(imported, clip)
    wanted = network(pixels(clip[[1, 4, 7, 10]]), pixels(clip[[2, 6, 10]]), CUBE)
    other = network(pixels(clip[[1, 4, 7, 10]]), pixels(clip[[3, 7, 11]]), CUBE)
    assert (other[-1] - wanted[-1]).abs().max() > 0.05
    assert [(state.cube.t, state.cube.y, state.cube.x) for state in states[1:]] == [
        (2, 16, 16),
        (6, 16, 16),
        (10, 16, 16),
    ]
    for state, logits_C in zip(states, wanted, strict=True):
        assert_answers(state, logits_C)
    told = "\n".join(imported.notes)
    assert "stays untrained: the policy" in told
    assert re.search(r"left \d+ tensors.*aux_fc.*classifier.global_classifiers.*spatial_policy.*temporal_policy", told)
    assert "Cubes lie in the middle" in dict(Bundle.read(tmp_path / "served").card)["Limits"]


@torch.no_grad()
def test_uni_adafocus_with_temporal_shift_answers_so_too(labels: Path, tmp_path: Path) -> None:
    network = shake(UniAdaFocusTsm(4, 6, CLASSES, CELLS), seed=4)
    imported = run(saved(network, tmp_path / "sthv1_p32_4and6.pth"), labels, tmp_path / "served")
    clip = patches(6)
    last = steps_of(imported, clip)[-1]
    assert_answers(last, network(pixels(clip[[0, 2, 3, 5]]), pixels(clip), CUBE))
    assert "4 of them to glance at: as the file's name says" in "\n".join(imported.notes)


@pytest.mark.parametrize("kind", ["both networks", "one each"])
def test_training_starts_from_their_networks_whole(kind: str, tmp_path: Path) -> None:
    """AdaFocusV2's or Uni-AdaFocus' file serves both parts; a TSM or an image network one."""
    if kind == "both networks":
        files = dict.fromkeys(("glance", "focus"), saved(UniAdaFocusTsm(4, 6, CLASSES, CELLS), tmp_path / "uni.pth"))
    else:
        torch.save({"model": ResNet50(None, 1000).state_dict()}, tmp_path / "image.pt")
        files = {"glance": saved(TSN(FlatMobileNetV2, 8, CLASSES), tmp_path / "tsm.pth.tar")}
        files["focus"] = tmp_path / "image.pt"
    network = build_network(frame_cubes(7), 0)
    starts = start_parts(network, files)
    assert [(start.part, start.file) for start in starts] == [(part, file.name) for part, file in files.items()]
    (weight,) = [t for name, t in read_foreign_file(str(files["focus"])).tensors.items() if name.endswith(DEEP)]
    assert torch.equal(network.focus.backbone.state_dict()[DEEP], weight)
    (weight,) = [
        tensor
        for name, tensor in read_foreign_file(str(files["glance"])).tensors.items()
        if name.endswith(("features.16.conv.0.net.weight", "features.16.conv.0.weight"))
    ]
    assert torch.equal(network.glance.backbone.state_dict()["features.16.conv.0.0.weight"], weight)


def test_a_network_of_another_kind_or_with_code_starts_nothing(tmp_path: Path) -> None:
    network = build_network(frame_cubes(7), 0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.save(ResNet50(None, 1000).state_dict(), tmp_path / "resnet.pth")
    with pytest.raises(ValueError, match="does not fit"):
        start_parts(network, {"glance": tmp_path / "resnet.pth"})
    torch.save({"state_dict": ResNet50(None, 1000)}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match="could be code, and is not opened"):
        start_parts(network, {"focus": tmp_path / "code.pth"})
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def refused(source: Path, labels: Path, tmp_path: Path, message: str, **asked: Any) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=message):
        run(source, labels, tmp_path / "served", **asked)
    assert sorted(tmp_path.iterdir()) == before


def test_a_partial_checkpoint_is_refused_with_the_list_and_nothing_is_written(labels: Path, tmp_path: Path) -> None:
    tensors = dict(AdaFocusV2Tsm(4, CLASSES, CELLS).state_dict())
    del tensors["local_CNN.base_model.layer2.0.bn1.weight"], tensors["policy_stn.7.weight"]
    torch.save(tensors, tmp_path / "part.pth")
    refused(tmp_path / "part.pth", labels, tmp_path, r"1 missing:\n.*policy_stn.7")
    tensors["policy_stn.7.weight"] = torch.zeros(512, 1024)
    tensors["policy_stn.12.weight"] = torch.zeros(1)
    torch.save(tensors, tmp_path / "part.pth")
    refused(
        tmp_path / "part.pth", labels, tmp_path, r"(?s)1 missing:.*bn1.weight.*1 unexpected:.*policy_stn", cube_px=CUBE
    )


def test_what_no_model_here_can_be_is_refused_with_the_way_out(labels: Path, tmp_path: Path) -> None:
    tensors = dict(UniAdaFocus(4, 3, CLASSES, CELLS, hidden=8).state_dict())
    torch.save(tensors | {"policy_stn.gru.weight_ih_l0": torch.zeros(1)}, tmp_path / "v2.pth")
    refused(tmp_path / "v2.pth", labels, tmp_path, "start training from its two networks")
    torch.save(FlatMobileNetV2(None, 1000).state_dict(), tmp_path / "image.pth")
    refused(tmp_path / "image.pth", labels, tmp_path, "An image network is no video model: start training from it")
    shifted = TSN(ResNet50, 4, CLASSES).state_dict()
    other = {name.replace("layer3.1.conv1.net.", "layer3.1.conv1."): tensor for name, tensor in shifted.items()}
    torch.save(other, tmp_path / "every_second.pth")
    refused(tmp_path / "every_second.pth", labels, tmp_path, "shifts frames in other places.*layer3.1.conv1.weight")
    torch.save(shifted, tmp_path / "tsm.pth")
    refused(tmp_path / "tsm.pth", labels, tmp_path, "cube_px is 96, but a TSM has no such choice", cube_px=96)
    labels.write_text("one\ntwo")
    refused(tmp_path / "tsm.pth", labels, tmp_path, "has 2 labels, but the checkpoint's head has 5 classes")
