"""Checkpoints of TimeSformer from other projects into ours, whole or not at all, and ours under their names.

Takes names and tensors; knows no file format.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isqrt

import torch
from torch import Tensor

from models.checkpoints import CheckpointMismatch, check_finite
from models.timesformer.config import Scheme, TimeSformerConfig
from models.timesformer.embeddings import resize_positions, resize_times
from models.timesformer.layouts import LAYOUTS, LEFT, LayoutName
from models.timesformer.network import TimeSformer

WRAPPERS = re.compile(r"^(?:module\.|model\.)+")
HEAD_DIM = 64  # of every published TimeSformer
SCHEMES: dict[LayoutName, tuple[Scheme, ...]] = {
    "official": ("divided", "joint", "space"),
    "huggingface": ("divided", "joint", "space"),
    "mmaction2": ("divided",),
    "mmaction2_one_attention": ("joint", "space"),
}
_BLOCK_NUMBER = re.compile(r"(?<=blocks\.)\d+(?=\.)")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A checkpoint read: what it is, its tensors under our names, and what it held besides."""

    layout: LayoutName
    config: TimeSformerConfig
    tensors: Mapping[str, Tensor]
    left: tuple[str, ...]


def is_timesformer(tensors: Mapping[str, Tensor]) -> bool:
    return any(WRAPPERS.sub("", name) == layout.mark for name in tensors for layout in LAYOUTS.values())


def read_foreign(tensors: Mapping[str, Tensor], *, num_heads: int | None = None, num_views: int = 3) -> Found:
    """The layout is known by its names, the configuration by the shapes; heads of 64 unless told how many.

    Raises ValueError where no layout fits, CheckpointMismatch (a ValueError) for what is missing, unexpected or of
    another shape.
    """
    named = {WRAPPERS.sub("", name): tensor for name, tensor in tensors.items()}
    if len(named) != len(tensors):
        raise ValueError(f"{len(tensors)} entries come down to {len(named)} names; is this two networks in one file?")
    layout = _layout_of(named)
    config = _config_of(named, layout, num_heads, num_views)
    with torch.device("meta"):
        wanted = TimeSformer(config).state_dict()
    theirs = {name: foreign_name(name, layout) for name in wanted}
    left = sorted(name for name in named if any(part in name for part in LEFT))
    found, missing, misshapen = {}, [], []
    for name, foreign in theirs.items():
        if foreign not in named:
            missing.append(foreign)
        elif _trimmed(named[foreign].shape) != _trimmed(wanted[name].shape):
            misshapen.append(f"{foreign} {tuple(named[foreign].shape)} instead of {tuple(wanted[name].shape)}")
        else:
            found[name] = named[foreign].reshape(wanted[name].shape).float()
    unexpected = named.keys() - set(theirs.values()) - set(left)
    if missing or unexpected or misshapen:
        raise CheckpointMismatch(missing, unexpected, misshapen)
    check_finite(found)
    return Found(layout, config, found, tuple(left))


def fit_to(found: Found, *, num_frames: int | None, view_size: tuple[int, int] | None) -> Found:
    """The same weights for clips of another length or size: their embeddings take the nearest learned ones."""
    config = replace(
        found.config,
        num_frames=num_frames or found.config.num_frames,
        view_size=view_size or found.config.view_size,
    )
    tensors = dict(found.tensors)
    position, time = "encoder.embedding.position_SD", "encoder.embedding.time_TD"
    tensors[position] = resize_positions(tensors[position], found.config.grid, config.grid)
    if time in tensors:
        tensors[time] = resize_times(tensors[time], config.num_frames)
    return replace(found, config=config, tensors=tensors)


def under_their_names(network: TimeSformer, layout: LayoutName) -> dict[str, Tensor]:
    """The network's tensors as that project has them, shapes included. ValueError for a scheme it does not have."""
    scheme, known = network.config.scheme, SCHEMES[layout]
    if scheme not in known:
        raise ValueError(f"{layout} has no scheme {scheme}, only {', '.join(known)}; export it to another format")
    leading = {"encoder.embedding.class_D": 2, "encoder.embedding.position_SD": 1, "encoder.embedding.time_TD": 1}
    return {
        foreign_name(name, layout): tensor.detach().reshape((1,) * leading.get(name, 0) + tuple(tensor.shape)).clone()
        for name, tensor in network.state_dict().items()
    }


def foreign_name(name: str, layout: LayoutName) -> str:
    """Theirs for one of ours."""
    number = _BLOCK_NUMBER.search(name)
    template = _BLOCK_NUMBER.sub("{i}", name, count=1)
    names = LAYOUTS[layout].names
    module = template
    while module not in names:  # a whole tensor, or a module that holds it
        module, dot, _ = module.rpartition(".")
        if not dot:
            return f"(no {layout} name for {name})"
    return (names[module] + template[len(module) :]).replace("{i}", number[0] if number else "")


def _layout_of(named: Mapping[str, Tensor]) -> LayoutName:
    for name, layout in LAYOUTS.items():
        if layout.mark in named:
            return name
    some = ", ".join(sorted(named)[:5]) or "nothing"
    raise ValueError(
        f"no layout of TimeSformer that is known here ({', '.join(LAYOUTS)}): the file holds {some}; give the "
        f"authors' .pyth, a HuggingFace folder or MMAction2's .pth"
    )


def _config_of(
    named: Mapping[str, Tensor], layout: LayoutName, num_heads: int | None, num_views: int
) -> TimeSformerConfig:
    def shape(name: str) -> tuple[int, ...]:
        foreign = foreign_name(name, layout)
        if foreign not in named:
            raise CheckpointMismatch([foreign], [], [])
        return tuple(named[foreign].shape)

    def has(name: str) -> bool:
        return foreign_name(name, layout) in named

    num_classes = shape("classifier.weight")[0]
    dim, _, patch_px, _ = shape("encoder.embedding.patches.weight")
    side = isqrt(shape("encoder.embedding.position_SD")[-2] - 1)
    scheme: Scheme = "space"
    if has("encoder.blocks.0.patch_steps.0.fc.weight"):
        scheme = "divided"
    elif has("encoder.embedding.time_TD"):
        scheme = "joint"
    depth = 0
    while has(f"encoder.blocks.{depth}.mlp_in.weight"):
        depth += 1
    return TimeSformerConfig(
        num_classes,
        scheme=scheme,
        num_frames=shape("encoder.embedding.time_TD")[-2] if scheme != "space" else 8,
        view_size=(side * patch_px, side * patch_px),
        num_views=num_views,
        patch_px=patch_px,
        dim=dim,
        depth=depth,
        num_heads=num_heads or max(1, dim // HEAD_DIM),
        mlp_dim=shape("encoder.blocks.0.mlp_in.weight")[0],
    )


def _trimmed(shape: Iterable[int]) -> tuple[int, ...]:
    """Without leading ones: a class token is (1, 1, D) there, (D) here."""
    sizes = tuple(shape)
    while len(sizes) > 1 and sizes[0] == 1:
        sizes = sizes[1:]
    return sizes
