"""How much sooner or later a label may stop, from a calibration set: shrunken towards 0 by how few videos back it.

Knows no budget and no threshold: `models.exit_rules` says what an offset does.

At step k a video gains `later - now` by going on: how often the answers after k are right, on average, less whether
that of k is. A line gives the gain that goes with an entropy, whatever the label. A label whose videos gain less than
the line says may stop at higher entropies: by the mean residual over the line's slope, which is where the line says
the same of all. Of n videos' mean residual n / (n + BACKING) is believed (the estimate of a random effect; James and
Stein 1961): of three videos nothing.

Shape suffixes: N calibration videos, K steps (step 0: the glance or a part of it), C labels.
"""

import numpy as np
from numpy.typing import NDArray

from models.exit_rules import MAX_OFFSET_NATS, LabelOffsets

BACKING = 20.0
"""Videos of a label that make its own residual count for half."""
LEAST_VIDEOS = 6
"""A label that tops fewer at a step falls back to the shared threshold there."""
_MOST_DEVIATIONS = 2.0  # of the step's entropies: beyond, the label alone would decide
_LEAST_SLOPE = 0.05  # of gain per nat: where entropy says nothing about the gain, neither can an offset


def label_offsets(
    entropy_NK: NDArray[np.float32],
    correct_NK: NDArray[np.bool_],
    top_label_NK: NDArray[np.integer],
    num_labels: int,
    *,
    backing: float = BACKING,
    rows_a_video: int = 1,
) -> LabelOffsets:
    """delta_{k, label} for every step but the last. Several rows of one video back a label no better than one."""
    rows = []
    for k in range(entropy_NK.shape[1] - 1):
        now_N = correct_NK[:, k].astype(np.float64)
        later_N = correct_NK[:, k + 1 :].mean(axis=1)
        rows.append(
            _offsets(
                entropy_NK[:, k].astype(np.float64),
                later_N - now_N,
                top_label_NK[:, k],
                num_labels,
                backing,
                rows_a_video,
            )
        )
    return LabelOffsets(tuple(rows))


def _offsets(
    entropy_N: NDArray[np.float64],
    gain_N: NDArray[np.float64],
    label_N: NDArray[np.integer],
    num_labels: int,
    backing: float,
    rows_a_video: int,
) -> tuple[float, ...]:
    spread = entropy_N - entropy_N.mean()
    squares = float(spread @ spread)
    slope = float(spread @ gain_N) / squares if squares > 0 else 0.0
    residual_N = gain_N - gain_N.mean() - slope * spread
    count_C = np.bincount(label_N, minlength=num_labels) / rows_a_video
    believed_C = np.bincount(label_N, residual_N, minlength=num_labels) / rows_a_video / (count_C + backing)
    offset_C = np.where(count_C >= LEAST_VIDEOS, -believed_C / max(slope, _LEAST_SLOPE), 0.0)
    most = min(MAX_OFFSET_NATS, _MOST_DEVIATIONS * float(entropy_N.std()))
    return tuple(np.clip(offset_C, -most, most).tolist())
