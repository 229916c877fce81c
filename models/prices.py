"""What a model's steps cost, as plain values. Knows no network: a configuration's family counts them, with torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.families import find_family

if TYPE_CHECKING:
    from models.family import ModelConfig


@dataclass(frozen=True, slots=True)
class Prices:
    """In multiply-adds. They follow from the architecture and from the code that builds it, never from weights."""

    step_flops: tuple[int, ...]
    """`step_flops[k]` of step k."""
    frame_flops: int | None
    """What one frame's share of the glance costs; None where frames look at each other."""
    paper_flops: int | None
    """What the model's own paper would print for a whole pass; None where it counts as we do."""


def count_prices(config: "ModelConfig") -> Prices:
    """By running every part on tensors without data: needs torch."""
    family = find_family(config.family)
    return Prices(
        step_flops=family.step_flops(config),
        frame_flops=None if family.frame_flops is None else family.frame_flops(config),
        paper_flops=None if family.paper_flops is None else family.paper_flops(config),
    )
