"""How heads in closed form weigh classes, forms of a clip and blocks of features. Knows no network and no data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeadFit:
    """Raises ValueError naming the value, the rule and the way out. What was tried: docs/decisions/0086."""

    class_power: float = 0.5
    """0: every video counts alike; 1: every class, however many videos it has; 0.5: half-way between."""
    block_ridge: float = 0.1
    """The penalty where blocks of features weigh alike, times features, rows a clip and forms of a clip: several forms
    of one clip are not as many clips. Heads without such blocks ignore it, as they do `local_weight`."""
    local_weight: float = 1.0
    """Of the blocks that tell what maps hold at key points, beside the other blocks' 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.class_power <= 1:
            raise ValueError(
                f"class_power is {self.class_power}, but must lie in [0, 1]: 0 counts videos alike, 1 classes"
            )
        for name in ("block_ridge", "local_weight"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be above 0; {_USUAL[name]} is usual")


_USUAL = {"block_ridge": "0.1", "local_weight": "1"}
