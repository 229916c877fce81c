"""The values between a foreign checkpoint and a bundle: what is asked, what was taken. Knows no project."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from models.bundle_format import Framing
from models.channels import ChannelOrder
from models.family import ModelConfig
from video.clip import Resize

FRAMES_PER_S = 30  # what strides count in


@dataclass(frozen=True, slots=True)
class Asked:
    """What whoever imports says; None: as the file says, or as its project does."""

    num_frames: int | None = None
    view_size: tuple[int, int] | None = None
    num_views: int | None = None
    """A TimeSformer's; 3 unless told."""
    num_heads: int | None = None
    """A TimeSformer's."""
    cube_px: int | None = None
    """Of an AdaFocus: the side of what it focuses on."""
    stride: int | None = None
    """Frames at 30 a second from one sampled frame to the next; 0: spread over the whole video."""
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channel_order: ChannelOrder | None = None
    task: str | None = None
    licence: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A checkpoint as a bundle will hold it. `notes`: sentences on what was taken, left, assumed, stays untrained."""

    layout: str
    config: ModelConfig
    tensors: Mapping[str, Tensor]
    framing: Framing
    temperatures_K: tuple[float, ...]
    licence: str
    limits: str
    """What a reader of the catalogue should know."""
    notes: tuple[str, ...]
    labels: Mapping[int, str] | None = None
    """Those that the checkpoint itself names, by number."""


def took(count: int, what: str) -> str:
    return f"took {count} tensors: {what}"


def left_out(names: tuple[str, ...]) -> str:
    """By module, so that a long list stays short."""
    modules = sorted({".".join(name.split(".")[:2]) for name in names})
    return f"left {len(names)} tensors that have no place here: {', '.join(modules) or 'none'}"


def channels(asked: Asked, mean: tuple[float, ...], std: tuple[float, ...], whence: str) -> tuple[dict[str, Any], str]:
    """(entries of a configuration, the sentence) for pixels that were normalised so, unless something else is asked."""
    values = {"mean": asked.mean or mean, "std": asked.std or std}
    told = "as asked" if asked.mean or asked.std else whence
    order = asked.channel_order or "rgb"
    said = "as asked" if asked.channel_order else "assumed"
    note = f"mean {values['mean']} and std {values['std']} of pixels in [0, 1]: {told}; channel order {order}: {said}"
    return values | {"channel_order": order}, note


def framing_of(
    num_frames: int, stride: int, whence: str, resize: Resize, source_short_side_px: int | None = None
) -> tuple[Framing, str]:
    """(how frames are sampled and brought to size, the sentence); a stride of 0 spreads them over the whole video."""
    if not stride:
        framing = Framing(sampling="uniform", resize=resize, source_short_side_px=source_short_side_px)
        return framing, f"{num_frames} frames spread over the whole video: {whence}"
    window_s = round(num_frames * stride / FRAMES_PER_S, 3)
    framing = Framing(sampling="window", resize=resize, source_short_side_px=source_short_side_px, window_s=window_s)
    return framing, (
        f"{num_frames} frames of the {window_s:g} s in the middle of a video (one in {stride} at 30 a second): {whence}"
    )


def said_in_name(path: Path, pattern: str) -> tuple[int, ...] | None:
    """The numbers that a file's name tells: their projects keep settings nowhere else."""
    found = re.search(pattern, path.name)
    return None if found is None else tuple(map(int, found.groups()))
