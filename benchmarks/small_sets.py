"""How often a set of few videos resolves that exits pay, where many videos say that they do.

`python -m benchmarks.small_sets OBSERVATIONS --like OTHER`: of videos answered out of fold (`fovea calibrate
--observations`) many sets are drawn, each with about as many videos of each source as OTHER has (observations.npz of
`fovea evaluate`), in whole groups and one deal. On each set the exits are held against random exit at equal mean cost,
as `fovea compare-exits` does. The thresholds come from other groups than the videos that they are spent on.

What it tells: how many budgets to expect above random exit, with an interval above 0, on a set as small as OTHER.

Shape suffixes: N videos, B budgets, R repeats, S sets.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from models.exit_rules import ExitRule
from training.judge.crossfit import NUM_FOLDS, NUM_REPEATS
from training.judge.exit_steps import by_chance, cross_fitted_steps, rightness
from training.judge.observations import Observations
from training.judge.statistics import mean_interval, resample

ASKED = 3  # budgets


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small_sets", description=__doc__)
    parser.add_argument("observations", type=Path)
    parser.add_argument("--like", type=Path, required=True, help="observations of the small set")
    parser.add_argument("--rule", choices=get_args(ExitRule), default="entropy_by_label")
    parser.add_argument("--sets", type=int, default=300)
    arguments = parser.parse_args()
    seen, like = Observations.load(arguments.observations), Observations.load(arguments.like)
    print(json.dumps(resolved(seen, Counter(like.sources_N), arguments.rule, arguments.sets), indent=1))


def resolved(
    seen: Observations, videos_by_source: Mapping[str, int], rule: ExitRule, num_sets: int
) -> dict[str, float | list[float]]:
    """Raises ValueError for a source that `seen` has not, or has too few videos of."""
    steps_RBN = cross_fitted_steps(seen, rule, NUM_FOLDS, NUM_REPEATS, seed=0)
    rng = np.random.default_rng(0)
    counts_S, gains_S, sizes_S = [], [], []
    for _ in range(num_sets):
        deal, repeat = int(rng.integers(seen.num_deals)), int(rng.integers(NUM_REPEATS))
        rows_N = drawn(seen, videos_by_source, seen.rows_by_deal[deal], rng)
        few, steps_1BN = seen.rows(rows_N, num_deals=1), steps_RBN[[repeat]][:, :, rows_N]
        gain_BN = (rightness(few, steps_1BN) - by_chance(few, steps_1BN))[1:-1]
        resamples = resample(few.groups_N, few.sources_N)
        counts_S.append(sum(mean_interval(gain_N, resamples).low > 0 for gain_N in gain_BN))
        gains_S.append(float(gain_BN.mean()))
        sizes_S.append(len(rows_N))
    counts = np.array(counts_S)
    return {
        "videos a set, mean": float(np.mean(sizes_S)),
        "budgets": len(steps_RBN[0]) - 2,
        "points above random exit, mean of the budgets: 2.5, 50, 97.5 % of the sets": [
            round(100 * float(one), 2) for one in np.percentile(gains_S, (2.5, 50, 97.5))
        ],
        "budgets above, interval above 0: median": float(np.median(counts)),
        f"sets with {ASKED} such budgets or more": float((counts >= ASKED).mean()),
        "sets with none": float((counts == 0).mean()),
    }


def drawn(
    seen: Observations, videos_by_source: Mapping[str, int], deal: slice, rng: np.random.Generator
) -> NDArray[np.intp]:
    """rows_N of one deal: whole groups, without replacement, until each source has as many videos, or just more."""
    rows = np.arange(seen.num_rows)[deal]
    taken: list[int] = []
    for source, wanted in sorted(videos_by_source.items()):
        of_source = [int(row) for row in rows if seen.sources_N[row] == source]
        if len(of_source) < wanted:
            raise ValueError(f"{wanted} videos of {source!r} are wanted, and {len(of_source)} were observed")
        groups = sorted({seen.groups_N[row] for row in of_source})
        count = 0
        for place in rng.permutation(len(groups)):
            if count >= wanted:
                break
            members = [row for row in of_source if seen.groups_N[row] == groups[place]]
            taken, count = taken + members, count + len(members)
    return np.array(sorted(taken), dtype=np.intp)


if __name__ == "__main__":
    main()
