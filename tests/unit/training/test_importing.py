"""Other projects' TimeSformers become bundles: taken whole and told, or refused; nothing is half-written."""

import errno
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import bundle as bundles
from models.bundle import Bundle
from models.loading import load_model, load_network
from models.runtime import RuntimeConfig
from models.timesformer.config import TimeSformerConfig, tiny
from models.timesformer.foreign import under_their_names
from models.timesformer.layouts import LayoutName
from models.timesformer.network import TimeSformer, build_network
from tests.timesformers import huggingface, pixels, random_views, randomise
from training.importing import Asked, Imported, import_checkpoint, read_labels

LABELS = ["brew", "carve", "dive", "enter", "flip"]


def network(scheme: str = "divided") -> TimeSformer:
    config = TimeSformerConfig.from_dict(tiny().to_dict() | {"scheme": scheme, "dim": 128, "num_frames": 8})
    made = build_network(config, 0)
    randomise(made, seed=4)
    return made


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "actions.txt"
    path.write_text("\n".join(LABELS) + "\n")
    return path


def official(path: Path, made: TimeSformer, cfg: str = "DATA:\n  SAMPLING_RATE: 8\n  NUM_FRAMES: 8\n") -> Path:
    tensors = {f"model.{name}": tensor for name, tensor in under_their_names(made, "official").items()}
    torch.save({"epoch": 3, "model_state": tensors, "optimizer_state": {"state": {}}, "cfg": cfg}, path)
    return path


def mmaction2(path: Path, made: TimeSformer) -> Path:
    layout: LayoutName = "mmaction2" if made.config.scheme == "divided" else "mmaction2_one_attention"
    torch.save({"meta": {"epoch": 15}, "state_dict": under_their_names(made, layout)}, path)
    return path


def run(source: Path | str, labels: Path, out: Path, **asked: Any) -> Imported:
    return import_checkpoint(str(source), labels, out, Asked(**asked))


def all_views(imported: Imported, clip_THWC: np.ndarray) -> np.ndarray:
    recognizer = load_model(imported.bundle.folder, runtime=RuntimeConfig(name="torch", precision="fp32")).recognizer
    states = recognizer.glance([clip_THWC])
    for _ in recognizer.step_flops[1:]:
        states = recognizer.focus(states)
    found: np.ndarray = states[0].probabilities_C
    return found


@pytest.mark.parametrize("scheme", ["divided", "joint"])
@pytest.mark.parametrize("write", [official, mmaction2])
def test_a_checkpoint_answers_as_the_network_that_wrote_it(
    write: Callable[[Path, TimeSformer], Path], scheme: str, labels: Path, tmp_path: Path
) -> None:
    made = network(scheme)
    imported = run(
        write(tmp_path / "weights.pth", made), labels, tmp_path / "served", mean=(0.45,) * 3, std=(0.225,) * 3
    )
    again = load_network(imported.bundle)
    for name, tensor in made.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    clip = random_views(1, 8, 32, 96)
    with torch.no_grad():
        wanted = (made(clip) / 3).softmax(dim=1)[0].numpy()
    np.testing.assert_allclose(all_views(imported, clip[0].numpy()), wanted, atol=1e-5)


def test_a_huggingface_folder_answers_as_transformers_does(labels: Path, tmp_path: Path) -> None:
    model = huggingface("divided")
    model.config.id2label = dict(enumerate(LABELS))
    model.config.label2id = {label: number for number, label in enumerate(LABELS)}
    model.save_pretrained(tmp_path / "folder")
    said = {"image_mean": [0.45] * 3, "image_std": [0.225] * 3}
    (tmp_path / "folder" / "preprocessor_config.json").write_text(json.dumps(said))
    imported = run(tmp_path / "folder", labels, tmp_path / "served")
    assert imported.bundle.config.num_heads == 4  # type: ignore[attr-defined]  # as the folder says
    clip = random_views(1, 8, 48, 144)
    views = [clip[:, :, :, 48 * number : 48 * (number + 1)] for number in range(3)]
    with torch.no_grad():
        wanted = (sum(model(pixels(view)).logits for view in views) / 3).softmax(dim=1)[0].numpy()
    np.testing.assert_allclose(all_views(imported, clip[0].numpy()), wanted, atol=1e-4)
    assert any("as the folder says" in note for note in imported.notes)


def test_the_bundle_says_where_it_comes_from_and_that_nothing_is_calibrated(labels: Path, tmp_path: Path) -> None:
    imported = run(official(tmp_path / "k400.pyth", network()), labels, tmp_path / "served")
    bundle = Bundle.read(tmp_path / "served")
    assert bundle.trained
    assert not bundle.calibrated
    assert (bundle.task, bundle.labels) == ("actions", tuple(LABELS))
    assert dict(bundle.card)["Licence"].startswith("CC-BY-NC 4.0")
    assert "imported from k400.pyth (official)" in dict(bundle.card)["Recipe"]
    assert bundle.clip_rule.window_s == pytest.approx(8 * 8 / 30, abs=1e-3)  # the rate that the file's cfg says
    told = "\n".join(imported.notes)
    for words in ("took all", "left 0 tensors", "assumed, the authors'", "licence: CC-BY-NC", "nothing is calibrated"):
        assert words in told


def test_another_projects_defaults_are_its_own(labels: Path, tmp_path: Path) -> None:
    imported = run(mmaction2(tmp_path / "k400.pth", network()), labels, tmp_path / "served")
    config = imported.bundle.config
    assert isinstance(config, TimeSformerConfig)
    assert (config.mean, config.std) == ((0.5,) * 3, (0.5,) * 3)
    assert dict(imported.bundle.card)["Licence"].startswith("Apache-2.0")
    assert imported.bundle.clip_rule.window_s == pytest.approx(8 * 32 / 30, abs=1e-3)


def test_what_is_asked_comes_before_what_is_assumed(labels: Path, tmp_path: Path) -> None:
    imported = run(
        official(tmp_path / "k400.pyth", network()), labels, tmp_path / "served", num_frames=16, view_size=(64, 64),
        num_views=1, stride=0, mean=(0.1, 0.2, 0.3), channel_order="bgr", task="kinetics", licence="mine",
    )  # fmt: skip
    config, bundle = imported.bundle.config, imported.bundle
    assert isinstance(config, TimeSformerConfig)
    assert (config.num_frames, config.view_size, config.num_views) == (16, (64, 64), 1)
    assert (config.mean, config.channel_order) == ((0.1, 0.2, 0.3), "bgr")
    assert (bundle.task, bundle.manifest.licence, bundle.clip_rule.window_s) == ("kinetics", "mine", None)
    assert bundle.clip_rule.resize == "center_crop"
    told = "\n".join(imported.notes)
    assert "positions of (4, 4) patches were resized to (8, 8)" in told
    assert "times for 16 frames instead of 8 were resized" in told


class Danger:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("/tmp/never-made-by-an-import"),))


def refused(source: Path | str, labels: Path, tmp_path: Path, message: str, **asked: Any) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=message):
        run(source, labels, tmp_path / "served", **asked)
    assert sorted(tmp_path.iterdir()) == before


def test_a_pickle_with_code_in_it_is_not_opened(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.pyth").write_bytes(pickle.dumps({"model_state": Danger()}))
    torch.save({"model_state": Danger()}, tmp_path / "zipped.pyth")
    for name in ("evil.pyth", "zipped.pyth"):
        refused(tmp_path / name, labels, tmp_path, "could be code, and is not opened")
    assert not Path("/tmp/never-made-by-an-import").exists()


def test_a_truncated_file_is_refused(labels: Path, tmp_path: Path) -> None:
    whole = official(tmp_path / "whole.pyth", network()).read_bytes()
    for share in (0.0, 0.01, 0.5, 0.99):
        (tmp_path / "cut.pyth").write_bytes(whole[: int(share * len(whole))])
        refused(tmp_path / "cut.pyth", labels, tmp_path, "damaged, truncated or no checkpoint|could be code")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00")
    refused(tmp_path / "cut.safetensors", labels, tmp_path, "damaged or truncated")


def test_a_hub_id_is_refused_with_the_way_to_fetch_it(labels: Path, tmp_path: Path) -> None:
    refused("facebook/timesformer-base-finetuned-k400", labels, tmp_path, "nothing is fetched from a hub: download it")


def test_wrong_and_partial_files_are_refused_with_the_list(labels: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}}, tmp_path / "resnet.pth")
    refused(tmp_path / "resnet.pth", labels, tmp_path, "no layout that is known here")
    tensors = under_their_names(network(), "official")
    del tensors["blocks.1.mlp.fc2.bias"]
    torch.save({"model": tensors}, tmp_path / "partial.pth")
    refused(tmp_path / "partial.pth", labels, tmp_path, r"1 missing:\n  blocks.1: mlp.fc2.bias")
    torch.save({"epoch": 3}, tmp_path / "nothing.pth")
    refused(tmp_path / "nothing.pth", labels, tmp_path, "holds 0 tensors beside epoch")


def test_labels_that_do_not_match_the_head_are_refused(labels: Path, tmp_path: Path) -> None:
    source = official(tmp_path / "k400.pyth", network())
    labels.write_text("\n".join(LABELS[:4]))
    refused(source, labels, tmp_path, "has 4 labels, but the checkpoint's head has 5 classes")
    labels.write_text("\n".join([*LABELS[:4], "dive"]))
    refused(source, labels, tmp_path, "has labels twice: dive")
    refused(source, tmp_path / "none.txt", tmp_path, "cannot be read")


def test_labels_in_another_order_than_the_checkpoints_own_are_refused(labels: Path, tmp_path: Path) -> None:
    model = huggingface("joint")
    model.config.id2label = dict(enumerate(reversed(LABELS)))
    model.save_pretrained(tmp_path / "folder")
    refused(tmp_path / "folder", labels, tmp_path, "differs from the checkpoint's own labels in 4 places: number 0")


def test_a_folder_of_another_norm_or_activation_is_refused_though_its_tensors_fit(labels: Path, tmp_path: Path) -> None:
    huggingface("joint", layer_norm_eps=1e-12).save_pretrained(tmp_path / "norm")
    refused(tmp_path / "norm", labels, tmp_path, "says layer_norm_eps 1e-12, but a TimeSformer here has 1e-06")
    huggingface("joint", hidden_act="relu").save_pretrained(tmp_path / "relu")
    refused(tmp_path / "relu", labels, tmp_path, "says hidden_act 'relu'")


def test_with_space_alone_the_number_of_frames_is_the_folders_or_assumed(labels: Path, tmp_path: Path) -> None:
    huggingface("space", num_frames=6).save_pretrained(tmp_path / "folder")
    imported = run(tmp_path / "folder", labels, tmp_path / "six")
    assert imported.bundle.config.num_frames == 6
    assert "6 frames: as the folder says" in imported.notes
    imported = run(official(tmp_path / "k400.pyth", network("space")), labels, tmp_path / "eight")
    assert imported.bundle.config.num_frames == 8
    assert "8 frames: assumed" in imported.notes


@pytest.mark.parametrize(
    "content",
    [json.dumps(LABELS), json.dumps(dict(enumerate(LABELS))), json.dumps({l: n for n, l in enumerate(LABELS)})],
    ids=["a list", "numbers to labels", "labels to numbers"],
)
def test_labels_may_be_json(content: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(content)
    assert read_labels(tmp_path / "labels.json") == tuple(LABELS)
    (tmp_path / "labels.json").write_text(json.dumps({"a": 0, "b": 2}))
    with pytest.raises(ValueError, match="neither a list nor an object that numbers them from 0"):
        read_labels(tmp_path / "labels.json")


def test_a_clip_that_the_patches_do_not_fill_is_refused(labels: Path, tmp_path: Path) -> None:
    source = official(tmp_path / "k400.pyth", network())
    refused(source, labels, tmp_path, "patches of 8 pixels must fill it", view_size=(30, 30))


def test_a_disk_that_fills_leaves_nothing_behind(labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = official(tmp_path / "k400.pyth", network())
    write_bytes = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "weights.safetensors":
            write_bytes(path, data[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, data)

    monkeypatch.setattr(bundles.Path, "write_bytes", full)
    refused(source, labels, tmp_path, r"No space left on device.*needs \d+ MB, and nothing was left behind")


def test_a_bundle_that_stands_there_stays(labels: Path, tmp_path: Path) -> None:
    source = official(tmp_path / "k400.pyth", network())
    first = run(source, labels, tmp_path / "served").bundle.digest
    with pytest.raises(ValueError, match="exists already and is not overwritten"):
        run(source, labels, tmp_path / "served", task="other")
    assert Bundle.read(tmp_path / "served").digest == first
    with pytest.raises(ValueError, match="a bundle cannot be called 'Big Name'"):
        run(source, labels, tmp_path / "Big Name")
