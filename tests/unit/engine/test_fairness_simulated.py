"""Two keys, one greedy, in simulated time on two cores: the modest one's 95th percentile beside it and alone."""

from dataclasses import replace

import pytest

from benchmarks.fairness_simulated import COSTS, measure
from benchmarks.simulated.clock import run


@pytest.mark.parametrize("num_greedy", [8])
def test_the_modest_key_s_p95_is_within_twice_its_p95_alone(num_greedy: int) -> None:
    card = run(measure(40, num_greedy, replace(COSTS, client_s=0.0), mended=True))
    assert card["p95_ratio"] < 2
    assert card["greedy_answers_per_s"] > 20, "it gets what is left, which is most"
