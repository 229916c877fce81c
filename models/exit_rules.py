"""Two rules for when to stop: by entropy alone (Eq. 7 of AdaFocusV3), or by entropy and what the model says it sees.

Ours: a video stops at step k if entropy <= eta_k + delta_{k, label}, label being the top one at that step. Another cube
pays where the label it leaves is often taken back, and not where it stays: two labels of equal entropy differ in that.
The offsets delta do not depend on the budget, so that every promise of the threshold search holds for entropies less
their offsets: with all offsets 0 it is Eq. 7.

Knows no network, and no budget. `models.label_offsets` estimates offsets, `models.threshold_solver` solves eta.

Shape suffixes: N calibration videos, K steps (step 0: the glance or a part of it), C labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.thresholds import NEVER_NATS

ExitRule: TypeAlias = Literal["entropy", "entropy_by_label"]

MAX_OFFSET_NATS = 0.9
"""Entropies less their offsets stay above NEVER_NATS, so that "never" still means never."""
assert -MAX_OFFSET_NATS > NEVER_NATS


@dataclass(frozen=True, slots=True)
class LabelOffsets:
    """delta_{k, label} in nats: one row per step but the last, one number per label. Raises ValueError for others."""

    nats: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        values = [offset for row in self.nats for offset in row]
        if len({len(row) for row in self.nats}) > 1 or not all(abs(offset) <= MAX_OFFSET_NATS for offset in values):
            raise ValueError(
                f"label offsets must have as many labels at every step, each from -{MAX_OFFSET_NATS} to "
                f"{MAX_OFFSET_NATS} nats; calibrate again"
            )

    def of_videos(self, top_label_NK: NDArray[np.integer]) -> NDArray[np.float64]:
        """offset_NK of videos with these top labels; 0 at the last step, where every video stops."""
        offset_NK = np.zeros(top_label_NK.shape)
        for k, row in enumerate(self.nats):
            offset_NK[:, k] = np.asarray(row)[top_label_NK[:, k]]
        return offset_NK

    def less(self, entropy_NK: NDArray[np.float32], top_label_NK: NDArray[np.integer]) -> NDArray[np.float32]:
        """Entropies less their offsets: what is held against eta_k."""
        return (entropy_NK - self.of_videos(top_label_NK)).astype(np.float32)


def no_offsets(num_steps: int, num_labels: int) -> LabelOffsets:
    """Eq. 7 as it is."""
    return LabelOffsets(((0.0,) * num_labels,) * (num_steps - 1))


def stops(entropy_nats: float, threshold_nats: float, offsets_nats: Sequence[float], label: int) -> bool:
    """Whether a video stops at a step with this eta_k; `offsets_nats` is that step's row, empty under Eq. 7."""
    offset = offsets_nats[label] if offsets_nats else 0.0
    return entropy_nats - offset <= threshold_nats
