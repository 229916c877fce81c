"""Image-network checkpoints into our backbones: foreign key layouts through a table, and never in part.

Knows no file format and no bundle: it takes names and tensors.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from models.backbones.build import Backbone
from models.backbones.config import BackboneConfig
from models.backbones.mobilenet_v2 import InvertedResidual, MobileNetV2

HEAD_PREFIXES = ("fc.", "classifier.", "new_fc.", "new_new_fc.")
"""Where torchvision keeps the 1000-way ImageNet heads, TSM and AdaFocusV2 those of videos: our backbones have none."""

PARTS = {"glance": "global_CNN.", "focus": "local_CNN."}
"""Our name of a part to its prefix in checkpoints of AdaFocusV2 and Uni-AdaFocus, which hold both networks."""

WRAPPERS = (
    (re.compile(r"^(module\.|base_model\.)+"), ""),  # DataParallel, TSM
    (re.compile(r"\.net\."), "."),  # TSM wraps what it shifts
)

_SHIFTED = re.compile(r"\.net\.(?=weight$)")

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


def part_of(part: str, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """What a checkpoint that holds several networks has of one, by names within it; all of one that holds one."""
    named = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    if not any(name.startswith(prefix) for name in named for prefix in PARTS.values()):
        return tensors
    if part not in PARTS:
        raise ValueError(
            f"the file holds a {' and a '.join(PARTS)} network, and {part} is neither; give it a file of one network"
        )
    prefix = PARTS[part]
    return {name.removeprefix(prefix): tensor for name, tensor in named.items() if name.startswith(prefix)}


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy `tensors` into `module`, all or nothing. Batch counters of old checkpoints may be absent."""
    wanted = module.state_dict()
    check_fits(wanted, tensors)
    with torch.no_grad():
        for name, tensor in tensors.items():
            wanted[name].copy_(tensor)


def check_fits(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """CheckpointMismatch where a tensor is missing, unexpected or of another shape. Batch counters may be absent."""
    misshapen = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted.keys() & tensors.keys()
        if tensors[name].shape != wanted[name].shape
    ]
    missing = [name for name in wanted.keys() - tensors.keys() if not name.endswith(".num_batches_tracked")]
    unexpected = tensors.keys() - wanted.keys()
    if missing or unexpected or misshapen:
        raise CheckpointMismatch(missing, unexpected, misshapen)


def torchvision_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under torchvision's names. Two that would share a name are an error of the checkpoint."""
    named = {_without_wrappers(name): tensor for name, tensor in tensors.items()}
    if TONYLINS_MARK in named:
        named = {_from_tonylins(name): tensor for name, tensor in named.items()}
    if len(named) != len(tensors):
        raise ValueError(f"{len(tensors)} entries come down to {len(named)} names; is this two networks in one file?")
    return named


def backbone_of(tensors: Mapping[str, Tensor]) -> BackboneConfig:
    """Which image network has such names. ValueError for one that is not here."""
    named = torchvision_names(tensors)
    if "features.18.0.weight" in named:
        return BackboneConfig("mobilenet_v2")
    if "layer4.0.conv3.weight" in named and "layer3.6.conv1.weight" not in named:
        return BackboneConfig("resnet50")
    if "layer4.0.conv2.weight" in named and "layer4.0.conv3.weight" not in named:
        return BackboneConfig("resnet34" if "layer3.5.conv1.weight" in named else "resnet18")
    some = ", ".join(sorted(named)[:5]) or "nothing"
    raise ValueError(f"no image network that is known here (MobileNetV2, ResNet-18, -34, -50): it holds {some}")


def shifts_frames(tensors: Mapping[str, Tensor]) -> bool:
    """Whether TSM wrapped this image network's layers. ValueError where it wrapped others than ours that shift."""
    places = {_SHIFTED.sub(".", name) for name in tensors if _SHIFTED.search(name)}
    if not places:
        return False
    wanted = _shifting_places(backbone_of(tensors), tensors)
    if places != wanted:
        differ = ", ".join(sorted(places ^ wanted)[:5])
        raise ValueError(
            f"the checkpoint shifts frames in other places than before the first 1x1 of each residual branch: "
            f"{differ}; only shift_place blockres is served here"
        )
    return True


def _shifting_places(backbone: BackboneConfig, tensors: Mapping[str, Tensor]) -> set[str]:
    if backbone.name != "mobilenet_v2":
        names = {_SHIFTED.sub(".", name) for name in tensors}
        return {name for name in names if re.fullmatch(r"layer\d\.\d+\.conv1\.weight", name)}
    with torch.device("meta"):
        layers = MobileNetV2(backbone.width_mult).features
    shifting = [i for i, layer in enumerate(layers) if isinstance(layer, InvertedResidual) and layer.shifts]
    return {f"features.{number}.conv.0.weight" for number in shifting}


def as_floats(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point tensors of any width in single precision; counters stay what they are."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    if broken := sorted(name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()):
        raise ValueError(f"not finite: {', '.join(broken[:5])}; the file is damaged, fetch it again")


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
