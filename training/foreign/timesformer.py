"""What is taken of a TimeSformer: the authors' .pyth, a HuggingFace folder, MMAction2's .pth. Writes nothing."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.channels import ChannelOrder
from models.timesformer.config import NUM_VIEWS
from models.timesformer.foreign import Found, fit_to, read_foreign
from models.timesformer.layouts import LayoutName
from training.foreign.taken import Asked, Taken, framing_of
from training.foreign_files import HUGGINGFACE_CONFIG, HUGGINGFACE_PREPROCESSOR, ForeignFile
from video.clip import Resize

LICENCES: Mapping[LayoutName, str] = {
    "official": "CC-BY-NC 4.0 (the authors' weights; assumed)",
    "huggingface": "CC-BY-NC 4.0 (the authors' weights; assumed)",
    "mmaction2": "Apache-2.0 (MMAction2's weights; assumed)",
    "mmaction2_one_attention": "Apache-2.0 (MMAction2's weights; assumed)",
}
AUTHORS = ((0.45,) * 3, (0.225,) * 3)
"""Mean and deviation that the authors trained with."""
HALVES = ((0.5,) * 3, (0.5,) * 3)
"""MMAction2's: 127.5 of 255, both."""
STRIDES = {8: 32, 16: 16, 96: 4}
"""The paper's, by number of frames: Base, HR, L."""
FIXED = {"model_type": "timesformer", "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True}
"""Of a HuggingFace folder: what is no choice here."""


def take(file: ForeignFile, asked: Asked) -> Taken:
    """Raises ValueError for a file that is no TimeSformer, or is one in part: everything that misfits is listed."""
    config = file.facts.get(HUGGINGFACE_CONFIG, {})
    _check_config(config, file.path)
    num_heads = asked.num_heads or config.get("num_attention_heads")
    found = read_foreign(file.tensors, num_heads=num_heads, num_views=asked.num_views or NUM_VIEWS)
    notes = [
        f"took all {len(found.tensors)} tensors of a {found.config.scheme} TimeSformer, {found.layout} layout, "
        f"{found.config.num_frames} frames of {found.config.view_size[0]} x {found.config.view_size[1]}, "
        f"{found.config.num_heads} heads of {found.config.dim // found.config.num_heads}",
        f"left {len(found.left)} tensors that mean nothing: {', '.join(found.left) or 'none'}",
    ]
    if found.config.scheme == "space" and asked.num_frames is None:  # it learns no times, so no tensor tells
        asked = replace(asked, num_frames=config.get("num_frames"))
        told = f"{asked.num_frames} frames: as the folder says" if asked.num_frames else "8 frames: assumed"
        notes.append(told)
    found, fitted = _fitted(found, asked)
    found, normalised = _normalised(found, file, asked)
    stride, whence = _stride(found, file, asked)
    resize: Resize = "three_crops" if found.config.num_views > 1 else "center_crop"
    framing, framed = framing_of(found.config.num_frames, stride, whence, resize)
    theirs = {int(number): str(label) for number, label in config.get("id2label", {}).items()}
    return Taken(
        layout=found.layout,
        config=found.config,
        tensors=found.tensors,
        framing=framing,
        # sums of logits over 1, 2, 3 views come down to their means
        temperatures_K=tuple(float(number + 1) for number in range(found.config.num_views)),
        licence=LICENCES[found.layout],
        limits="Not calibrated: scores are those of the mean over views, and no accuracy was measured here.",
        notes=(*notes, *fitted, *normalised, framed, "nothing stays untrained"),
        labels={number: label for number, label in theirs.items() if label != f"LABEL_{number}"},
    )


def _check_config(config: Mapping[str, Any], path: Path) -> None:
    """What transformers' TimeSformer can be and ours cannot: no tensor's shape would show it."""
    for name, wanted in FIXED.items():
        if config.get(name, wanted) != wanted:
            raise ValueError(
                f"{path / HUGGINGFACE_CONFIG} says {name} {config[name]!r}, but a TimeSformer here has {wanted!r}; it "
                f"would answer otherwise than where it was trained, and is refused"
            )


def _fitted(found: Found, asked: Asked) -> tuple[Found, list[str]]:
    """Embeddings for another clip than the checkpoint's, and the sentence that says so."""
    fitted = fit_to(found, num_frames=asked.num_frames, view_size=asked.view_size)
    notes = []
    if fitted.config.grid != found.config.grid:
        notes.append(f"positions of {found.config.grid} patches were resized to {fitted.config.grid}, to the nearest")
    if fitted.config.num_frames != found.config.num_frames:
        resized = "were resized, to the nearest" if found.config.scheme != "space" else "do not exist with space alone"
        notes.append(f"times for {fitted.config.num_frames} frames instead of {found.config.num_frames} {resized}")
    return fitted, notes


def _normalised(found: Found, file: ForeignFile, asked: Asked) -> tuple[Found, list[str]]:
    said: Mapping[str, Any] = next((file.facts[name] for name in HUGGINGFACE_PREPROCESSOR if name in file.facts), {})
    if "image_mean" in said and "image_std" in said:
        values, whence = (tuple(said["image_mean"]), tuple(said["image_std"])), "as the folder says"
    elif found.layout.startswith("mmaction2"):
        values, whence = HALVES, "assumed, MMAction2's"
    else:
        values, whence = AUTHORS, "assumed, the authors'"
    mean, std = asked.mean or values[0], asked.std or values[1]
    if asked.mean or asked.std:
        whence = "as asked"
    order: ChannelOrder = asked.channel_order or "rgb"
    config = replace(found.config, mean=mean, std=std, channel_order=order)
    notes = [f"mean {mean} and std {std} of pixels in [0, 1]: {whence}"]
    told = (
        "as asked" if asked.channel_order else "assumed; the authors' Something-Something weights were trained on bgr"
    )
    notes.append(f"channel order {order}: {told}")
    return replace(found, config=config), notes


def _stride(found: Found, file: ForeignFile, asked: Asked) -> tuple[int, str]:
    written = re.search(r"^\s*SAMPLING_RATE:\s*(\d+)\s*$", str(file.facts.get("cfg", "")), re.MULTILINE)
    if asked.stride is not None:
        return asked.stride, "as asked"
    if written:
        return int(written[1]), "as the file says"
    return STRIDES.get(found.config.num_frames, 0), "assumed, the paper's"
