"""What a service does at a multiple of its knee: `benchmarks.overload` measures it, `benchmarks.simulate` predicts."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

HEADING = "times  offered  goodput  refused  p50 s  p95 s  granted  accuracy"


@dataclass(frozen=True)
class Level:
    times_knee: float
    offered_per_s: float
    goodput_per_s: float
    refused_per_s: float
    p50_s: float  # of answers; this and what follows mean nothing where there were none
    p95_s: float
    granted_gflops: float  # in the mean
    accuracy: float | None  # the model's, out of fold, in the mean over what was granted; None: not known

    def __str__(self) -> str:
        rates = f"{self.offered_per_s:7.2f}  {self.goodput_per_s:7.2f}  {self.refused_per_s:7.2f}"
        offered = f"{self.times_knee:5.1f}  {rates}"
        if not self.goodput_per_s:
            return f"{offered}  {'nothing was answered':>31}"
        accuracy = "-" if self.accuracy is None else f"{self.accuracy:.3f}"
        return f"{offered}  {self.p50_s:5.2f}  {self.p95_s:5.2f}  {self.granted_gflops:7.3f}  {accuracy:>8}"


def quantile(values: Sequence[float], of_20: int) -> float:
    """The `of_20`th twentieth: 10 is the median, 19 the 95th percentile; 0 where there are no values."""
    return statistics.quantiles(values, n=20)[of_20 - 1] if len(values) > 1 else (values or [0.0])[0]
