"""From a bundle to another library's format: ONNX, OpenVINO's, or a folder as transformers saves it. `fovea export`.

Knows no service. What is exported is one pass: a whole clip to its logits, all views of a TimeSformer summed. Models
whose steps look where an earlier step tells them are no such pass, and are refused.

Shape suffixes: B clips (1), T frames, H rows, W columns, C colour channels or classes.
"""

import json
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.bundle import Bundle
from models.loading import load_network
from models.runtime.openvino_runtime import import_openvino
from models.timesformer.config import Scheme
from models.timesformer.folding import fold
from models.timesformer.foreign import under_their_names
from models.timesformer.network import TimeSformer

Format: TypeAlias = Literal["onnx", "openvino", "hf"]
MODEL_FILES: Mapping[Format, str] = {"onnx": "model.onnx", "openvino": "model.xml", "hf": "model.safetensors"}
FACTS = "fovea.json"
"""Beside an exported model: its labels, how to make its clips, and its licence."""
INPUT, OUTPUT = "clips_BTHWC", "logits_BC"
ONNX_OPSET = 20
HUGGINGFACE_SCHEMES: Mapping[Scheme, str] = {
    "divided": "divided_space_time",
    "joint": "joint_space_time",
    "space": "space_only",
}


def export_bundle(folder: Path, out: Path, to: Format) -> Path:
    """Write the folder `out`, whole or not at all; the model's own file in it.

    Raises ValueError for a model that the format cannot hold, for a package that is missing, where `out` exists, and
    where there is no room.
    """
    if out.exists():
        raise ValueError(f"{out} exists already and is not overwritten; remove it or choose another")
    bundle = Bundle.read(folder.resolve())
    network = load_network(bundle)
    writers: dict[Format, Callable[[Bundle, nn.Module, Path], None]] = {
        "onnx": _write_onnx,
        "openvino": _write_openvino,
        "hf": _write_huggingface,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out.parent) as scratch:
        fresh = Path(scratch) / out.name
        fresh.mkdir()
        try:
            writers[to](bundle, network, fresh)
            (fresh / FACTS).write_text(json.dumps(_facts(bundle), indent=1) + "\n")
            fresh.rename(out)
        except OSError as error:
            raise ValueError(f"{out} cannot be written ({error.strerror or error}); nothing was left behind") from error
    return out / MODEL_FILES[to]


class OnePass(nn.Module):
    """uint8 clips_BTHWC to logits_BC, with what inference folds folded."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        if isinstance(network, TimeSformer):
            network.add_module("encoder", fold(network.encoder))

    def forward(self, clips_BTHWC: Tensor) -> Tensor:
        logits_BC: Tensor = self.network(clips_BTHWC)
        return logits_BC


def _one_pass(bundle: Bundle, network: nn.Module) -> tuple[OnePass, Tensor]:
    """The module, and a clip to trace it with."""
    clip_BTHWC = torch.zeros(1, bundle.config.num_frames, *bundle.config.frame_size, 3, dtype=torch.uint8)
    if len(bundle.step_flops) > 1 and not isinstance(network, TimeSformer):
        raise ValueError(
            f"{bundle.name} looks at its later steps where the first tells it to, which is no single pass; export a "
            f"TimeSformer or a model of one step"
        )
    return OnePass(network).eval().requires_grad_(False), clip_BTHWC


def _write_onnx(bundle: Bundle, network: nn.Module, folder: Path) -> None:
    module, clip_BTHWC = _one_pass(bundle, network)
    try:
        import onnx  # noqa: F401, PLC0415  # an extra: most never export
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise ValueError(f"ONNX needs a package that is missing ({error}): pip install onnx onnxscript") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            module, (clip_BTHWC,), folder / MODEL_FILES["onnx"], input_names=[INPUT], output_names=[OUTPUT],
            opset_version=ONNX_OPSET, dynamo=True, verbose=False,
        )  # fmt: skip


def _write_openvino(bundle: Bundle, network: nn.Module, folder: Path) -> None:
    module, clip_BTHWC = _one_pass(bundle, network)
    openvino = import_openvino()
    if openvino is None:
        raise ValueError("OpenVINO does not import here: pip install openvino, or export to another format")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="Converting a tensor to a Python", category=Warning)
        converted = openvino.convert_model(
            module, example_input=clip_BTHWC, input=[(list(clip_BTHWC.shape), openvino.Type.u8)]
        )
    converted.inputs[0].get_tensor().set_names({INPUT})
    converted.outputs[0].get_tensor().set_names({OUTPUT})
    openvino.save_model(converted, folder / MODEL_FILES["openvino"], compress_to_fp16=False)


def _write_huggingface(bundle: Bundle, network: nn.Module, folder: Path) -> None:
    if not isinstance(network, TimeSformer):
        raise ValueError(f"{bundle.name} is no TimeSformer, and transformers has no other model of ours; choose onnx")
    config = network.config
    tensors = under_their_names(network, "huggingface")
    rows, columns = config.view_size
    if rows != columns:
        raise ValueError(f"transformers' TimeSformer takes squares, but views are {rows} x {columns}; choose onnx")
    save_file(tensors, folder / MODEL_FILES["hf"], metadata={"format": "pt"})
    labels = dict(enumerate(bundle.labels))
    content = {
        "model_type": "timesformer",
        "architectures": ["TimesformerForVideoClassification"],
        "attention_type": HUGGINGFACE_SCHEMES[config.scheme],
        "num_frames": config.num_frames,
        "image_size": rows,
        "patch_size": config.patch_px,
        "num_channels": 3,
        "hidden_size": config.dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.mlp_dim,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
        "id2label": labels,
        "label2id": {label: number for number, label in labels.items()},
    }
    (folder / "config.json").write_text(json.dumps(content, indent=1) + "\n")
    processor = {
        "image_processor_type": "VideoMAEImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": rows},
        "do_center_crop": True,
        "crop_size": {"height": rows, "width": rows},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(config.mean),
        "image_std": list(config.std),
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=1) + "\n")


def _facts(bundle: Bundle) -> dict[str, object]:
    rule = bundle.clip_rule
    return {
        "bundle": bundle.digest,
        "labels": list(bundle.labels),
        "input": f"uint8 RGB, 1 x {rule.num_frames} x {rule.height_px} x {rule.width_px} x 3 (frames, rows, columns)",
        "output": "logits, to be divided by the last of the temperatures",
        "temperatures": list(bundle.calibration.temperatures_K),
        "clip": {"resize": rule.resize, "window_s": rule.window_s, "short_side_px": rule.source_short_side_px},
        "channel_order": getattr(bundle.config, "channel_order", "rgb"),
        "licence": bundle.manifest.licence,
    }
