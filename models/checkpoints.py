"""Image-network checkpoints into our backbones: foreign key layouts through a table, and never in part.

Knows no file format and no bundle: it takes names and tensors.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from models.backbones.build import Backbone

HEAD_PREFIXES = ("fc.", "classifier.")
"""Where torchvision keeps the 1000-way ImageNet heads, which our backbones do not have."""

WRAPPERS = (
    (re.compile(r"^(module\.|base_model\.)+"), ""),  # DataParallel, TSM
    (re.compile(r"\.net\."), "."),  # TSM wraps what it shifts
)

# MobileNetV2 by tonylins (TSM's and AdaFocusV2's), a flat Sequential per block, to torchvision's nested one.
TONYLINS_MARK = "features.1.conv.3.weight"
TONYLINS = (
    (re.compile(r"^features\.1\.conv\.([0134])\."), {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}),
    (
        re.compile(r"^features\.(?:[2-9]|1[0-7])\.conv\.([013467])\."),
        {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"},
    ),
)


class CheckpointMismatch(ValueError):
    """The tensors are not this module's. `missing`, `unexpected` and `misshapen` are full names, sorted."""

    def __init__(self, missing: Iterable[str], unexpected: Iterable[str], misshapen: Iterable[str]) -> None:
        self.missing, self.unexpected, self.misshapen = sorted(missing), sorted(unexpected), sorted(misshapen)
        parts = [
            f"{len(names)} {what}:\n{_by_module(names)}"
            for what, names in (
                ("missing", self.missing),
                ("unexpected", self.unexpected),
                ("of another shape", self.misshapen),
            )
            if names
        ]
        super().__init__(
            "the checkpoint does not fit, and loading it in part would leave random weights behind; "
            "configure the network that it was made for. " + "\n".join(parts)
        )


def load_backbone(backbone: Backbone, tensors: Mapping[str, Tensor], *, drop_head: bool = False) -> None:
    """Copy a torchvision or tonylins checkpoint into `backbone`, whatever its floating-point type.

    `drop_head` leaves the ImageNet classifier out; without it, one is unexpected. Raises CheckpointMismatch before
    anything is copied.
    """
    named = torchvision_names(tensors)
    if drop_head:
        named = {name: tensor for name, tensor in named.items() if not name.startswith(HEAD_PREFIXES)}
    load_strictly(backbone, named)


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy `tensors` into `module`, all or nothing. Batch counters of old checkpoints may be absent."""
    wanted = module.state_dict()
    misshapen = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted.keys() & tensors.keys()
        if tensors[name].shape != wanted[name].shape
    ]
    missing = [name for name in wanted.keys() - tensors.keys() if not name.endswith(".num_batches_tracked")]
    unexpected = tensors.keys() - wanted.keys()
    if missing or unexpected or misshapen:
        raise CheckpointMismatch(missing, unexpected, misshapen)
    with torch.no_grad():
        for name, tensor in tensors.items():
            wanted[name].copy_(tensor)


def torchvision_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under torchvision's names. Two that would share a name are an error of the checkpoint."""
    named = {_without_wrappers(name): tensor for name, tensor in tensors.items()}
    if TONYLINS_MARK in named:
        named = {_from_tonylins(name): tensor for name, tensor in named.items()}
    if len(named) != len(tensors):
        raise ValueError(f"{len(tensors)} entries come down to {len(named)} names; is this two networks in one file?")
    return named


def _without_wrappers(name: str) -> str:
    for pattern, replacement in WRAPPERS:
        name = pattern.sub(replacement, name)
    return name


def _from_tonylins(name: str) -> str:
    for pattern, places in TONYLINS:
        if match := pattern.match(name):
            return name[: match.start(1)] + places[match[1]] + name[match.end(1) :]
    return name


def _by_module(names: list[str]) -> str:
    groups: dict[str, list[str]] = {}
    for name in names:
        path = name.split(" ")[0].split(".")
        depth = min(2, len(path) - 1)
        groups.setdefault(".".join(path[:depth]), []).append(name.split(".", depth)[-1])
    return "\n".join(f"  {module or '(top)'}: {', '.join(members)}" for module, members in groups.items())
