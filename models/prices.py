"""What a model's steps cost, as plain values. Knows no network: a family counts them (`models.families`), with torch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prices:
    """In multiply-adds. They follow from the architecture and from the code that builds it, never from weights."""

    step_flops: tuple[int, ...]
    """`step_flops[k]` of step k."""
    frame_flops: int | None
    """What one frame's share of the glance costs; None where frames look at each other."""
    paper_flops: int | None
    """What the model's own paper would print for a whole pass; None where it counts as we do."""
