"""From a TimeSformer checkpoint of another project to a bundle, and what was taken, left and assumed: `fovea import`.

Knows no service. The bundle is not calibrated: nobody has run it on videos yet.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.bundle import Bundle, write_bundle
from models.bundle_format import Architecture, Card, Description, Framing, Provenance
from models.calibration import not_calibrated
from models.channels import ChannelOrder
from models.families import find_family
from models.timesformer.foreign import Found, fit_to, read_foreign
from models.timesformer.layouts import LayoutName
from training.bundling import check_name
from training.foreign_files import HUGGINGFACE_CONFIG, HUGGINGFACE_PREPROCESSOR, ForeignFile, read_foreign_file
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
FRAMES_PER_S = 30  # what strides count in


@dataclass(frozen=True, slots=True)
class Asked:
    """What whoever imports says; None: as the file says, or as its project does."""

    num_frames: int | None = None
    view_size: tuple[int, int] | None = None
    num_views: int = 3
    num_heads: int | None = None
    stride: int | None = None
    """Frames at 30 a second from one sampled frame to the next; 0: spread over the whole video."""
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channel_order: ChannelOrder | None = None
    task: str | None = None
    licence: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """`notes`: sentences on what was taken, left, assumed and stays untrained."""

    bundle: Bundle
    notes: tuple[str, ...]


def import_checkpoint(source: str, labels_file: Path, out: Path, asked: Asked, *, overwrite: bool = False) -> Imported:
    """Write the bundle `out`. It appears complete, or not at all.

    Raises ValueError for a source that cannot be read, is no TimeSformer, or is one in part (everything that misfits is
    listed), for labels that do not match its head, and where there is no room.
    """
    check_name(out, overwrite=overwrite)
    labels = read_labels(labels_file)
    file = read_foreign_file(source)
    config = file.facts.get(HUGGINGFACE_CONFIG, {})
    _check_config(config, file.path)
    num_heads = asked.num_heads or config.get("num_attention_heads")
    found = read_foreign(file.tensors, num_heads=num_heads, num_views=asked.num_views)
    _check_labels(labels, found.config.num_classes, config, labels_file)
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
    framing, framed = _framing(found, file, asked)
    licence = asked.licence or LICENCES[found.layout]
    notes += [*fitted, *normalised, *framed, f"licence: {licence}"]
    notes.append("nothing stays untrained; nothing is calibrated: all steps are taken until `fovea calibrate`")
    family = find_family(found.config.family)
    step_flops = family.step_flops(found.config)
    description = Description(
        name=out.name,
        task=asked.task or labels_file.stem,
        labels=labels,
        trained=True,
        architecture=Architecture(family=family.name, config=found.config.to_dict()),
        clip=framing,
        default_budget_gflops=sum(step_flops) / 1e9,
        licence=licence,
        provenance=Provenance(
            data="not stated", recipe=f"imported from {file.path.name} ({found.layout})", seed=0, commit=None
        ),
        card=Card(
            intended_use="Recognising the listed labels, as whoever trained the weights meant it.",
            limits="Not calibrated: scores are those of the mean over views, and no accuracy was measured here.",
        ),
        calibration="none",
        measured=None,
    )
    # sums of logits over 1, 2, 3 views come down to their means
    calibration = not_calibrated(step_flops, [float(k + 1) for k in range(len(step_flops))])
    try:
        bundle = write_bundle(out.parent, description, found.tensors, calibration, replace=overwrite)
    except OSError as error:
        size_mb = sum(tensor.numel() * tensor.element_size() for tensor in found.tensors.values()) / 1e6
        raise ValueError(
            f"{out} cannot be written ({error.strerror or error}); it needs {size_mb:.0f} MB, and nothing was left "
            f"behind: free some, or choose another folder"
        ) from error
    return Imported(bundle, tuple(notes))


def read_labels(path: Path) -> tuple[str, ...]:
    """A label a line; or JSON: a list, or an object of numbers to labels or labels to numbers."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the labels {path} cannot be read ({error}); name a text or JSON file") from error
    if path.suffix != ".json":
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the labels {path} are no JSON ({error}); a label a line is fine in a .txt") from error
    if isinstance(content, list):
        return tuple(map(str, content))
    if isinstance(content, dict):
        numbers = {str(name): str(value) for name, value in content.items()}
        if not all(name.isdigit() for name in numbers):
            numbers = {value: name for name, value in numbers.items()}
        if set(numbers) == set(map(str, range(len(content)))):
            return tuple(numbers[str(number)] for number in range(len(content)))
    raise ValueError(f"the labels {path} are neither a list nor an object that numbers them from 0; write one of these")


def _check_config(config: Mapping[str, Any], path: Path) -> None:
    """What transformers' TimeSformer can be and ours cannot: no tensor's shape would show it."""
    for name, wanted in FIXED.items():
        if config.get(name, wanted) != wanted:
            raise ValueError(
                f"{path / HUGGINGFACE_CONFIG} says {name} {config[name]!r}, but a TimeSformer here has {wanted!r}; it "
                f"would answer otherwise than where it was trained, and is refused"
            )


def _check_labels(labels: Sequence[str], num_classes: int, config: Mapping[str, Any], path: Path) -> None:
    if len(labels) != num_classes:
        raise ValueError(
            f"{path} has {len(labels)} labels, but the checkpoint's head has {num_classes} classes; give the list that "
            f"it was trained with, in its order"
        )
    if len(set(labels)) != len(labels):
        twice = sorted({label for label in labels if labels.count(label) > 1})
        raise ValueError(f"{path} has labels twice: {', '.join(twice[:5])}; each needs a name of its own")
    theirs = {int(number): str(label) for number, label in config.get("id2label", {}).items()}
    named = {number: label for number, label in theirs.items() if label != f"LABEL_{number}"}
    wrong = [(number, label) for number, label in named.items() if number < num_classes and labels[number] != label]
    if wrong:
        number, label = wrong[0]
        raise ValueError(
            f"{path} differs from the checkpoint's own labels in {len(wrong)} places: number {number} is "
            f"{labels[number]!r} here and {label!r} there; give them in the checkpoint's order"
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


def _framing(found: Found, file: ForeignFile, asked: Asked) -> tuple[Framing, list[str]]:
    frames = found.config.num_frames
    written = re.search(r"^\s*SAMPLING_RATE:\s*(\d+)\s*$", str(file.facts.get("cfg", "")), re.MULTILINE)
    if asked.stride is not None:
        stride, whence = asked.stride, "as asked"
    elif written:
        stride, whence = int(written[1]), "as the file says"
    else:
        stride, whence = STRIDES.get(frames, 0), "assumed, the paper's"
    resize: Resize = "three_crops" if found.config.num_views > 1 else "center_crop"
    if not stride:
        note = f"{frames} frames spread over the whole video: {whence}"
        return Framing(sampling="uniform", resize=resize, source_short_side_px=None), [note]
    window_s = round(frames * stride / FRAMES_PER_S, 3)
    note = f"{frames} frames of the {window_s:g} s in the middle of a video (one in {stride} at 30 a second): {whence}"
    return Framing(sampling="window", resize=resize, source_short_side_px=None, window_s=window_s), [note]
