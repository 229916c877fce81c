"""A bundle goes to other libraries and answers there as here; what a format cannot hold is refused."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import Bundle, write_bundle
from models.bundle_format import Architecture, Card, Description, Framing, Provenance
from models.calibration import not_calibrated
from models.mobile_former.config import tiny as tiny_former
from models.runtime.openvino_runtime import import_openvino
from models.timesformer.config import TimeSformerConfig, tiny
from models.timesformer.costs import step_flops
from models.timesformer.network import TimeSformer, build_network
from tests.conftest import require
from tests.timesformers import pixels, random_views, randomise
from training.exporting import FACTS, INPUT, export_bundle
from training.importing import Asked, import_checkpoint
from training.untrained import build_untrained

LABELS = ("brew", "carve", "dive", "enter", "flip")


def bundled(folder: Path, scheme: str = "divided") -> tuple[Bundle, TimeSformer]:
    config = TimeSformerConfig.from_dict(tiny().to_dict() | {"scheme": scheme})
    network = build_network(config, 0)
    randomise(network, seed=6)
    steps = step_flops(config)
    description = Description(
        name=folder.name,
        task="actions",
        labels=LABELS,
        trained=True,
        architecture=Architecture(family="timesformer", config=config.to_dict()),
        clip=Framing(sampling="uniform", resize="three_crops", source_short_side_px=None),
        default_budget_gflops=sum(steps) / 1e9,
        licence="CC-BY-NC 4.0",
        provenance=Provenance(data="none", recipe="random", seed=0, commit=None),
        card=Card(intended_use="tests", limits="tests"),
        calibration="none",
        measured=None,
    )
    return write_bundle(
        folder.parent, description, network.state_dict(), not_calibrated(steps, [1.0, 2.0, 3.0])
    ), network


def through_openvino(path: Path, clip: torch.Tensor) -> np.ndarray:
    """OpenVINO reads ONNX as well: no other library is needed to run one."""
    openvino = import_openvino()
    require(openvino is not None, "openvino")
    assert openvino is not None
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert INPUT in compiled.inputs[0].get_names()
    found: np.ndarray = compiled(clip.numpy())[0]
    return found


@pytest.mark.parametrize("scheme", ["divided", "space", "axial", "local_global"])
@pytest.mark.parametrize("to", ["openvino", "onnx"])
def test_all_views_of_a_clip_give_the_same_logits_elsewhere(to: str, scheme: str, tmp_path: Path) -> None:
    if to == "onnx":
        there = all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxscript"))
        require(there, "onnx and onnxscript (extra `dev`)")
    bundle, network = bundled(tmp_path / "raw", scheme)
    path = export_bundle(bundle.folder, tmp_path / "out", to)  # type: ignore[arg-type]
    clip = random_views(1, 4, 32, 96)
    with torch.no_grad():
        wanted = network(clip).numpy()
    np.testing.assert_allclose(through_openvino(path, clip), wanted, atol=1e-3, rtol=1e-3)
    facts = json.loads((tmp_path / "out" / FACTS).read_text())
    assert facts["labels"] == list(LABELS)
    assert facts["licence"] == "CC-BY-NC 4.0"
    assert facts["clip"]["resize"] == "three_crops"


@pytest.mark.parametrize("scheme", ["divided", "joint", "space"])
def test_transformers_loads_a_folder_and_gives_the_same_logits(scheme: str, tmp_path: Path) -> None:
    require(importlib.util.find_spec("transformers") is not None, "transformers (extra `dev`)")
    from transformers import TimesformerForVideoClassification  # noqa: PLC0415  # not everywhere

    bundle, network = bundled(tmp_path / "raw", scheme)
    export_bundle(bundle.folder, tmp_path / "out", "hf")
    model, told = TimesformerForVideoClassification.from_pretrained(
        tmp_path / "out", local_files_only=True, output_loading_info=True
    )
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.id2label == dict(enumerate(LABELS))
    view = random_views(2, 4, 32, 32)
    with torch.no_grad():
        if scheme == "space":  # theirs answers per frame
            frames = view.flatten(0, 1)[:, None].expand(-1, 4, -1, -1, -1)
            wanted = network(frames)
            found = model.eval()(pixels(view)).logits
        else:
            wanted, found = network(view), model.eval()(pixels(view)).logits
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_a_folder_for_transformers_comes_back_as_the_same_weights(tmp_path: Path) -> None:
    bundle, network = bundled(tmp_path / "raw")
    export_bundle(bundle.folder, tmp_path / "out", "hf")
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    again = import_checkpoint(str(tmp_path / "out"), tmp_path / "labels.txt", tmp_path / "again", Asked()).bundle
    assert again.config == TimeSformerConfig.from_dict(network.config.to_dict() | {"drop_path": 0.1})
    assert again.manifest.weights_sha256 == bundle.manifest.weights_sha256


def test_what_a_format_cannot_hold_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    bundle, _ = bundled(tmp_path / "raw", "axial")
    former, _ = build_untrained(tmp_path / "former", config=tiny_former(4), num_clips=8)
    cubes, _ = build_untrained(tmp_path / "cubes", config=tiny_cubes(), num_clips=8)
    before = sorted(tmp_path.iterdir())
    for one, to, message in (
        (bundle, "hf", "huggingface has no scheme axial"),
        (former, "hf", "is no TimeSformer"),
        (cubes, "openvino", "which is no single pass"),
    ):
        with pytest.raises(ValueError, match=message):
            export_bundle(one.folder, tmp_path / "out", to)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="exists already"):
        export_bundle(bundle.folder, bundle.folder, "openvino")
    assert sorted(tmp_path.iterdir()) == before


def test_a_model_of_one_step_is_exported_as_well(tmp_path: Path) -> None:
    from models.loading import load_network  # noqa: PLC0415  # beside its only use

    former, _ = build_untrained(tmp_path / "former", config=tiny_former(4), num_clips=8)
    clip = random_views(1, 8, 32, 40)
    with torch.no_grad():
        wanted = load_network(former)(clip).numpy()
    found = through_openvino(export_bundle(former.folder, tmp_path / "out", "openvino"), clip)
    np.testing.assert_allclose(found, wanted, atol=1e-3, rtol=1e-3)


def tiny_cubes() -> object:
    from models.adafocus.shapes import tiny as tiny_adafocus  # noqa: PLC0415  # beside its only use

    return tiny_adafocus(4)
