"""How good the threshold search is, and how much of it survives on other videos: the figures of docs/decisions/0003.

Knows no network: entropies and correctness are drawn. `python -m benchmarks.thresholds` prints them.

Shape suffixes: N videos, K steps.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.threshold_levels import RankedVideos
from models.threshold_solver import _exhaustive, _search, geometric, solve_grid
from models.thresholds import evaluate

GLANCE_FLOPS, CUBE_FLOPS = 5_390_000_000, 770_000_000  # the paper's 18-frame model, rounded
FRESH_VIDEOS = 5_000
NUM_DRAWS = 5


def draw(num_videos: int, num_steps: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Videos of differing difficulty: more steps make surer, entropy measures that with noise, answers are coins."""
    hardness_N = 3 * rng.random(num_videos)
    sureness_NK = 1 / (1 + np.exp(2 * hardness_N[:, None] - 1 - 0.25 * np.arange(num_steps)))
    noise_NK = rng.normal(0, 0.4, sureness_NK.shape)
    entropy_NK = np.clip(3.5 * (1 - sureness_NK) + noise_NK, 0, 3.9).astype(np.float32)
    return entropy_NK, rng.random(sureness_NK.shape) < 0.2 + 0.7 * sureness_NK


@dataclass(frozen=True, slots=True)
class Result:
    """Means over grid points and draws; accuracies in points (hundredths)."""

    num_videos: int
    num_exits: int
    solve_cpu_s: float
    gain_points: float  # search over geometric family, on the calibration set
    gain_fresh_points: float  # the same on fresh videos
    lost_points: float  # the search's accuracy on the set less that on fresh videos
    worst_overspend_percent: float  # mean cost over B on fresh videos, the worst of all grid points and draws

    def __str__(self) -> str:
        return (
            f"{self.num_videos:5d} videos, {self.num_exits:2d} exits: {self.solve_cpu_s:.1f} s of CPU a grid; gain "
            f"{self.gain_points:+.1f} on the set, {self.gain_fresh_points:+.1f} on fresh videos; lost from set to "
            f"fresh {self.lost_points:.1f}; worst mean cost over B {self.worst_overspend_percent:+.1f} %"
        )


def generalisation(num_videos: int, num_exits: int) -> Result:
    """Search against geometric family, on the set it was solved on and on fresh videos."""
    step_flops = (GLANCE_FLOPS, *[CUBE_FLOPS] * (num_exits - 1))
    rows, spent_s = [], 0.0
    for seed in range(NUM_DRAWS):
        rng = np.random.default_rng(seed)
        known, fresh = draw(num_videos, num_exits, rng), draw(FRESH_VIDEOS, num_exits, rng)
        started_s = time.process_time()
        grid = solve_grid(*known, step_flops)
        spent_s += time.process_time() - started_s
        for point in grid.points:
            classical = geometric(*known, step_flops, point.budget_flops)
            found_anew = evaluate(*fresh, step_flops, point.solution.thresholds_nats)
            classical_anew = evaluate(*fresh, step_flops, classical.thresholds_nats)
            gain = point.solution.accuracy - classical.accuracy
            gain_anew = found_anew.accuracy - classical_anew.accuracy
            lost = point.solution.accuracy - found_anew.accuracy
            rows.append((gain, gain_anew, lost, found_anew.mean_cost_flops / point.budget_flops - 1))
    gain, gain_anew, lost, _ = (100 * np.mean(rows, axis=0)).tolist()
    worst = 100 * max(row[3] for row in rows)
    return Result(num_videos, num_exits, spent_s / NUM_DRAWS, gain, gain_anew, lost, worst)


def worst_miss(num_videos: int = 1_000, num_sets: int = NUM_DRAWS) -> float:
    """Share of videos by which the search for many exits misses the known optimum of three, at worst."""
    worst = 0
    step_flops = (100, 50, 70)
    for seed in range(num_sets):
        videos = RankedVideos(*draw(num_videos, len(step_flops), np.random.default_rng(seed)), step_flops)
        limits = [budget * num_videos for budget in range(step_flops[0], sum(step_flops) + 1, 8)]
        exact, found = _exhaustive(videos, limits), _search(videos, limits)
        worst = max(worst, *(best.correct - scored.correct for best, scored in zip(exact, found, strict=True)))
    return worst / num_videos


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.thresholds", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there")
    path: Path | None = parser.parse_args().json
    results = [generalisation(*size) for size in ((5_000, 18), (5_000, 3), (1_000, 7), (100, 7))]
    miss = worst_miss()
    print(*results, sep="\n")
    print(f"three exits, search for many exits against the optimum: at worst {100 * miss:.1f} % of videos missed")
    if path:
        path.write_text(json.dumps({"grids": [asdict(r) for r in results], "worst_miss": miss}, indent=1) + "\n")


if __name__ == "__main__":
    main()
