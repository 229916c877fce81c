"""Checkpoints of TSM's own code into ours, whole or not at all. Takes names and tensors; knows no file format.

Names: mit-han-lab/temporal-shift-module, `ops/models.py`: `base_model.` and an image network (torchvision's ResNet,
tonylins' MobileNetV2), `new_fc` the head; what is shifted lies in a `.net`. As there, an eighth each way.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.checkpoints import (
    CheckpointMismatch,
    as_floats,
    backbone_of,
    check_finite,
    check_fits,
    shifts_frames,
    torchvision_names,
)
from models.tsm.config import TsmConfig
from models.tsm.network import Tsm

MARK = "base_model."
HEADS = ("new_fc.", "base_model.classifier.", "base_model.fc.")
"""In the order in which they are looked for: without dropout the image network keeps the head under its own name."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A checkpoint read: what it is, and its tensors under our names."""

    config: TsmConfig
    tensors: Mapping[str, Tensor]


def is_tsm(tensors: Mapping[str, Tensor]) -> bool:
    return any(name.removeprefix("module.").startswith(MARK) for name in tensors)


def read_foreign(tensors: Mapping[str, Tensor], *, num_frames: int, frame_size: tuple[int, int]) -> Found:
    """The image network, the classes and whether it shifts are known by names and shapes; frames and size are not.

    Raises ValueError for a shift in other places than ours, CheckpointMismatch (a ValueError) for what is missing,
    unexpected or of another shape.
    """
    named = {name.removeprefix("module."): tensor for name, tensor in as_floats(tensors).items()}
    head = next((prefix for prefix in HEADS if prefix + "weight" in named), None)
    if head is None:
        raise CheckpointMismatch(["new_fc.weight"], [], [])
    body = {name.removeprefix(MARK): tensor for name, tensor in named.items() if not name.startswith(head)}
    config = TsmConfig(
        num_classes=named[head + "weight"].shape[0],
        backbone=backbone_of(body),
        num_frames=num_frames,
        frame_size=frame_size,
        temporal_shift=shifts_frames(body),
    )
    found = {f"encoder.backbone.{name}": tensor for name, tensor in torchvision_names(body).items()}
    found |= {f"classifier.{kind}": named[head + kind] for kind in ("weight", "bias") if head + kind in named}
    with torch.device("meta"):
        wanted = Tsm(config).state_dict()
    check_fits(wanted, found)
    check_finite(found)
    return Found(config, found)
