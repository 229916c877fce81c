"""Checkpoints of AdaFocusV2 and Uni-AdaFocus into ours, whole or not at all. Takes names and tensors; knows no file.

Names as in LeapLabTHU/AdaFocusV2 (`ops/models.py`, `main.py`, `models/adafocus_v2.py`) and LeapLabTHU/Uni-AdaFocus.
Encoders and heads fit. Of the policies AdaFocusV2's for Something-Something does, whose one cube spans all frames;
Uni-AdaFocus' also chooses sizes and frames, and is left: cubes then lie in the middle until a policy is trained.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.adafocus.network import AdaFocusV3
from models.adafocus.policy import Policy
from models.backbones.config import STRIDE
from models.checkpoints import (
    PARTS,
    CheckpointMismatch,
    as_floats,
    backbone_of,
    check_finite,
    check_fits,
    shifts_frames,
    torchvision_names,
)

LayoutName: TypeAlias = Literal["adafocus_v2_tsm", "uni_adafocus", "uni_adafocus_tsm"]


@dataclass(frozen=True, slots=True)
class Layout:
    """`names`: our module to theirs, beside both image networks; `left`: what has no place here."""

    mark: str
    """A name that only this layout has."""
    title: str
    names: Mapping[str, str]
    left: tuple[str, ...]
    has_policy: bool = False
    """Theirs is ours: see `_fit_policy`."""


_TSM_HEADS = {
    "classifier.glance_head": "global_CNN.new_fc",
    "classifier.focus_head": "local_CNN.new_fc",
    "auxiliary_glance": "global_CNN.new_new_fc",
    "auxiliary_focus": "local_CNN.new_new_fc",
}
_POLICY = {f"policy.layers.{number}": f"policy_stn.{number}" for number in (0, 1, 4, 5, 7, 8, 10)}
_UNIS_POLICIES = ("spatial_policy.", "temporal_policy.", "aux_fc.")

LAYOUTS: Mapping[LayoutName, Layout] = {
    "adafocus_v2_tsm": Layout(
        mark="policy_stn.10.weight",
        title="AdaFocusV2 with temporal shift",
        names=_TSM_HEADS | _POLICY,
        left=(),
        has_policy=True,
    ),
    "uni_adafocus_tsm": Layout(
        mark="global_CNN.new_new_fc.weight",
        title="Uni-AdaFocus with temporal shift",
        names=_TSM_HEADS,
        left=_UNIS_POLICIES,
    ),
    "uni_adafocus": Layout(
        mark="classifier.global_mlp.layers.0.weight",
        title="Uni-AdaFocus",
        names={
            "auxiliary_glance": "global_CNN_fc.1",
            "auxiliary_focus": "local_CNN_fc.1",
            "classifier.glance_mlp": "classifier.global_mlp.layers",
            "classifier.focus_mlp": "classifier.local_mlp.layers",
        },
        left=(*_UNIS_POLICIES, "global_CNN.classifier.", "local_CNN.fc.", "classifier.global_classifiers."),
    ),
}
"""In the order in which a file is held against them."""
_UNI_GLANCE_HEADS, _UNI_STEP_HEADS = "classifier.global_classifiers.", "classifier.local_classifiers."
"""A head per frame of the glance, of which the last has seen them all; a head per cube."""
_OF_A_NETWORK = re.compile(r"^(?:global|local)_CNN\.(?:base_model\.)?(?=(?:features|conv1|bn1|layer\d)\.)")
_LONG_V2 = "policy_stn.gru.weight_ih_l0"
_LAST_OF_POLICY = "policy.layers.10."


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A checkpoint read: what it is, its tensors under our names, what it held besides, and which parts of ours it did
    not fill."""

    layout: LayoutName
    config: AdaFocusConfig
    tensors: Mapping[str, Tensor]
    left: tuple[str, ...]
    untrained: tuple[str, ...]


def is_adafocus(tensors: Mapping[str, Tensor]) -> bool:
    return any(name.removeprefix("module.").startswith(tuple(PARTS.values())) for name in tensors)


def read_foreign(tensors: Mapping[str, Tensor], *, num_frames: int | None, cube_px: int) -> Found:
    """The layout is known by its names, most of the configuration by shapes. `num_frames`: of a clip; None: what the
    released code takes.

    Raises ValueError for a layout whose classifier is none of ours, CheckpointMismatch (a ValueError) for what is
    missing, unexpected or of another shape.
    """
    named = {name.removeprefix("module."): tensor for name, tensor in as_floats(tensors).items()}
    if _LONG_V2 in named:
        raise ValueError(
            "AdaFocusV2 for long videos asks one classifier about glance and cube of the same frame, one frame after "
            "the other, and no model here does; start training from its two networks: fovea train ... "
            "--glance-weights FILE --focus-weights FILE"
        )
    layout = next((name for name, one in LAYOUTS.items() if one.mark in named), None)
    if layout is None:
        raise CheckpointMismatch([one.mark for one in LAYOUTS.values()], [], [])
    bodies = {part: _body(prefix, named) for part, prefix in PARTS.items()}
    config = _config_of(layout, named, bodies, num_frames, cube_px)
    taken = {name for name in named if _OF_A_NETWORK.match(name)}
    found: dict[str, Tensor] = {}
    for part, body in bodies.items():
        found |= {f"{part}.backbone.{name}": tensor for name, tensor in torchvision_names(body).items()}
    for ours, theirs in LAYOUTS[layout].names.items():
        of_it = {name: tensor for name, tensor in named.items() if name.startswith(theirs + ".")}
        found |= {ours + name.removeprefix(theirs): tensor for name, tensor in of_it.items()}
        taken |= of_it.keys()
    if layout == "uni_adafocus":
        taken |= _take_step_heads(named, config, found)
    left = {name for name in named.keys() - taken if name.startswith(LAYOUTS[layout].left)}
    if LAYOUTS[layout].has_policy:
        _fit_policy(found)
    else:
        found |= {f"policy.{name}": tensor for name, tensor in _constant_policy(config, bodies).items()}
    with torch.device("meta"):
        wanted = AdaFocusV3(config).state_dict()
    check_fits(wanted, found | {name: named[name] for name in named.keys() - taken - left})
    check_finite(found)
    return Found(layout, config, found, tuple(sorted(left)), () if LAYOUTS[layout].has_policy else ("policy",))


def _body(prefix: str, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One of the two image networks, by its own names."""
    return {
        _OF_A_NETWORK.sub("", name): tensor
        for name, tensor in named.items()
        if name.startswith(prefix) and _OF_A_NETWORK.match(name)
    }


def _config_of(
    layout: LayoutName,
    named: Mapping[str, Tensor],
    bodies: Mapping[str, Mapping[str, Tensor]],
    num_frames: int | None,
    cube_px: int,
) -> AdaFocusConfig:
    def shape(name: str) -> tuple[int, ...]:
        if name not in named:
            raise CheckpointMismatch([name], [], [])
        return tuple(named[name].shape)

    glance, focus = backbone_of(bodies["glance"]), backbone_of(bodies["focus"])
    shift = shifts_frames(bodies["glance"])
    if shifts_frames(bodies["focus"]) != shift:
        raise ValueError("one of the two networks shifts frames and the other does not; no model here does so")
    if layout == "uni_adafocus":
        hidden, _ = shape("classifier.global_mlp.layers.0.weight")
        num_glance, num_cubes = (_count(named, prefix) for prefix in (_UNI_GLANCE_HEADS, _UNI_STEP_HEADS))
        num_classes = shape("global_CNN_fc.1.weight")[0]
        rows, columns = shape("spatial_policy.encoder.9.weight")[-2:]
        frames = num_frames or 3 * num_glance
        step = frames // max(num_glance, 1)
        indices = tuple(step * number + min(1, step - 1) for number in range(num_glance))  # its code's: the second
        cube_size, aggregation, dropout = (1, cube_px, cube_px), "max_pool", 0.2
        policy: dict[str, int | tuple[int, ...]] = {}
    else:
        num_classes, width = shape("global_CNN.new_fc.weight")
        if layout == "adafocus_v2_tsm":
            convolved, joined = shape("policy_stn.0.weight")[:2]
            num_glance = joined // width
            rows = columns = math.isqrt(shape("policy_stn.4.weight")[1] // convolved)
            widths = tuple(shape(f"policy_stn.{number}.weight")[0] for number in (4, 7))
            policy = {"policy_conv": convolved, "policy_hidden": widths}
        else:
            num_glance, rows, columns = shape("spatial_policy.encoder.9.weight")[-3:]
            policy = {}
        frames, num_cubes, hidden = num_frames or int(1.5 * num_glance), 1, 4096
        indices = tuple((2 * number + 1) * frames // (2 * num_glance) for number in range(num_glance))
        cube_size, aggregation, dropout = (frames, cube_px, cube_px), "average", 0.5
    if frames < num_glance:
        raise ValueError(f"{frames} frames are asked for, but the glance takes {num_glance}; ask for at least as many")
    values = {
        "num_classes": num_classes, "num_frames": frames, "frame_size": (STRIDE * rows, STRIDE * columns),
        "glance_indices": indices, "glance_size": (STRIDE * rows, STRIDE * columns), "glance": glance, "focus": focus,
        "cube_size": cube_size, "max_cubes": num_cubes, "temporal_shift": shift, "aggregation": aggregation,
        "classifier_hidden": hidden, "dropout": dropout,
    }  # fmt: skip
    return AdaFocusConfig(**values | policy)  # type: ignore[arg-type]


def _count(named: Mapping[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in named if name.startswith(prefix)})


def _take_step_heads(named: Mapping[str, Tensor], config: AdaFocusConfig, found: dict[str, Tensor]) -> set[str]:
    """Uni-AdaFocus': the glance's last head and those of the cubes, stacked; the names taken."""
    last = f"{_UNI_GLANCE_HEADS}{config.num_glance_frames - 1}.1."
    of_steps = [f"{_UNI_STEP_HEADS}{number}.1." for number in range(config.max_cubes)]
    taken = {prefix + kind for prefix in (last, *of_steps) for kind in ("weight", "bias")}
    if missing := taken - named.keys():
        raise CheckpointMismatch(missing, [], [])
    found |= {f"classifier.glance_head.{kind}": named[last + kind] for kind in ("weight", "bias")}
    for ours, kind in (("weight_KCD", "weight"), ("bias_KC", "bias")):
        found[f"classifier.step_heads.{ours}"] = torch.stack([named[prefix + kind] for prefix in of_steps])
    return taken


def _fit_policy(found: dict[str, Tensor]) -> None:
    """Theirs has biases before its batch norms, which take them over; and no time, which one cube of all frames does
    not need: any will do."""
    for layer in (4, 7):
        bias, mean = f"policy.layers.{layer}.bias", f"policy.layers.{layer + 1}.running_mean"
        if bias in found and mean in found and found[bias].shape == found[mean].shape:
            found[mean] = found[mean] - found.pop(bias)
    for kind in ("weight", "bias"):
        if (name := _LAST_OF_POLICY + kind) in found:
            found[name] = torch.cat((torch.zeros_like(found[name][:1]), found[name]))


def _constant_policy(config: AdaFocusConfig, bodies: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """One that puts cubes into the middle of the frames, in equal steps of time, whatever the glance saw: seeded layers
    under a last one that ignores them, from which training can start."""
    *_, last_name = (name for name in torchvision_names(bodies["glance"]) if name.endswith("running_mean"))
    channels = len(torchvision_names(bodies["glance"])[last_name])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        policy = Policy(config, channels)
    room = config.num_frames - config.cube_size[0]
    frames_K = (torch.arange(config.max_cubes) + 0.5) * config.num_frames / config.max_cubes
    positions_K3 = torch.full((config.max_cubes, 3), 0.5)
    if room:
        positions_K3[:, 0] = (frames_K.floor() / room).clamp(0.25 / room, 1 - 0.25 / room)  # it rounds to the nearest
    last = policy.layers[10]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(positions_K3.logit().flatten())
    return dict(policy.state_dict())
