"""What the benchmark of the loop filter holds to be told at the default budget."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.loop_filter import by_default
from models.exit_rules import LabelOffsets

SURE, UNSURE = 2.0, 0.1  # entropies 0.37 and 0.69 nats


def bundle_with(offsets: LabelOffsets | None) -> Any:
    point = SimpleNamespace(budget_flops=100, solution=SimpleNamespace(thresholds_nats=(0.5,)))
    return SimpleNamespace(
        calibration=SimpleNamespace(temperatures_K=(1.0, 1.0), offsets=offsets),
        default_budget_flops=100,
        grid=SimpleNamespace(points=(point,)),
    )


def test_a_video_stops_where_the_bundles_thresholds_say_by_label_where_they_differ() -> None:
    first_DNC = np.array([[[SURE, 0.0], [0.0, SURE], [UNSURE, 0.0]]])  # says 0, 1, 0
    last_DNC = np.array([[[0.0, 9.0], [9.0, 0.0], [0.0, 9.0]]])  # says the other
    logits_K = [first_DNC, last_DNC]
    assert by_default(logits_K, bundle_with(None)).tolist() == [[0, 1, 1]]  # the last one is not sure enough
    assert by_default(logits_K, bundle_with(LabelOffsets(((-0.3, 0.0),)))).tolist() == [[1, 1, 1]]
    assert by_default(logits_K, bundle_with(LabelOffsets(((0.3, -0.3),)))).tolist() == [[0, 0, 0]]
