"""Observations drawn from a seed: logits that know the label a little better with every exit, in groups that differ."""

from collections.abc import Sequence

import numpy as np

from training.judge.observations import Observations

SOURCES = ("court", "street")
CLASSES = ("court_a", "court_b", "street_a", "street_b")
COSTS = (100, 60, 40, 40)


def draw(
    num_videos=96, num_groups=12, costs=COSTS, knows=(0.5, 1.5, 2.0, 2.5), seed=0, sharpness=1.0, model="drawn"
) -> Observations:
    """Videos of a group share their source and how hard they are. One cost, one entry of `knows` per exit."""
    rng = np.random.default_rng(seed)
    group_N = np.arange(num_videos) % num_groups
    source_N = group_N % 2
    labels_N = 2 * source_N + rng.integers(0, 2, num_videos)
    ease_N = rng.uniform(0, 2, num_groups)[group_N]
    logits_NKC = rng.normal(0, 1, (num_videos, len(costs), len(CLASSES)))
    logits_NKC += np.multiply.outer(ease_N, knows)[:, :, None] * np.eye(len(CLASSES))[labels_N][:, None]
    return Observations(
        model=model,
        digest="",
        split="val",
        classes_C=CLASSES,
        paths_N=tuple(f"val/{i:03}.mp4" for i in range(num_videos)),
        labels_N=labels_N.astype(np.int64),
        groups_N=tuple(f"group{g}" for g in group_N),
        sources_N=tuple(SOURCES[s] for s in source_N),
        log_probs_NKC=(sharpness * logits_NKC).astype(np.float32),
        step_flops_K=tuple(costs),
        seconds_K=tuple(cost / 1e4 for cost in costs),
        executor="none",
    )


def dealt(deals: Sequence[Observations]) -> Observations:
    """The same videos, answered in each of several deals of the folds."""
    return Observations.joined(deals, num_deals=len(deals))
