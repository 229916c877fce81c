"""What keyframes in the place of a glance's frames do to accuracy, with heads that have learnt them and without.

Without the loop filter: `benchmarks.loop_filter`.

`python -m benchmarks.keyframe_jitter DATA`: features of the training videos, with exact frames and with keyframes on
several grids, by the networks of the bundle that ships, which never saw these videos. Heads are fitted as `fovea train`
does, on clips and their compressed copies: `exact` with exact frames alone, `both` with keyframes on a drawn grid, too.
Each exit's head is judged alone: nothing of the exit before it is mixed in. Each video is judged by heads that saw none
of its group, in several deals of the folds. Intervals are of paired differences, by resampling groups within each
source. `--cache` keeps features: the same command goes on where it was.

Shape suffixes: N videos, R rows a video, F features, C classes.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.catalogue import available_models
from models.recognizer import Frames
from training.data.dataset import LIMITS, Dataset, Sample, read_dataset
from training.data.frames import FrameStore
from training.data.groups import fold_groups, group_of
from training.data.keyframes import Grid, StandIns, clip_with
from training.families import training_of
from training.family import Regression
from training.fit.feature_cache import FeatureCache
from training.fit.head_fit import HeadFit
from training.fit.heads import regressed
from training.fit.networks import build, start_from_bundle
from training.fit.plans import TrainPlan, find_plan
from training.fit.precision import prepare
from training.judge.statistics import mean_interval, resample

TOLERANCE, CRF, FOLDS = 0.6, 28, 5
LEARNT = {"exact": ("exact", "copy"), "both": ("exact", "copy", "keyframes", "copy with keyframes")}
SECOND, DRAWN = "a keyframe a second of ten", "drawn, one in one to two seconds of ten"
JUDGED = ("exact", SECOND, DRAWN)


@dataclass(frozen=True, slots=True)
class Row:
    step: int
    learnt: str
    judged: str
    top1: float
    difference: float  # in points, from heads of exact frames on exact frames
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"step {self.step}, learnt {self.learnt:<5}, on {self.judged}: {self.top1:.1%} ({self.difference:+.1f} "
            f"[{self.low:.1f}, {self.high:.1f}])"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keyframe_jitter", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--plan", default="compact", help="or light")
    parser.add_argument("--deals", type=int, default=6, help="of the folds")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/fovea"))
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = read_dataset(arguments.data).split("train")
    plan = find_plan(arguments.plan, dataset.num_classes)
    network = build(plan.model_plan(None))
    start_from_bundle(network, available_models()["adafocus-v3-compact"])
    prepare(network, plan.recipe.precision, torch.device("cpu"))
    heads = training_of(network).regressions(network)
    given = features(dataset, plan, network, arguments.cache.expanduser())
    rows = judged(dataset, heads, given, arguments.deals, plan.recipe.head_fit)
    print(f"{arguments.plan}: {len(dataset)} videos, {arguments.deals} deals of {FOLDS} folds", *rows, sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


@torch.no_grad()
def features(dataset: Dataset, plan: TrainPlan, network: torch.nn.Module, cache: Path) -> dict[str, dict[str, Tensor]]:
    """By kind of clip what heads are given, all videos in order."""
    network.eval()
    places = training_of(network).looked_at(plan.model)
    assert places is not None, "a plan whose cubes a rule places"
    assert plan.clip.source_short_side_px is not None
    store, kept = FrameStore(cache, plan.clip.source_short_side_px), FeatureCache(cache, network, plan.recipe.precision)
    found: dict[str, dict[str, list[Tensor]]] = {}
    for number, sample in enumerate(dataset.samples):
        for kind, clip_THWC in clips_of(sample, store, plan, StandIns(places, TOLERANCE), number).items():
            clips_BTHWC = torch.from_numpy(clip_THWC)[None]
            for name, feature in kept.features(network, clips_BTHWC, torch.Generator(), learned=False).items():
                found.setdefault(kind, {}).setdefault(name, []).append(feature)
    return {kind: {name: torch.cat(parts) for name, parts in named.items()} for kind, named in found.items()}


def clips_of(sample: Sample, store: FrameStore, plan: TrainPlan, wanted: StandIns, number: int) -> dict[str, Frames]:
    drawn = Grid.drawn(np.random.default_rng([7, number]))
    return {
        "exact": store.clip(sample.path, plan.clip),
        "copy": store.clip(sample.path, plan.clip, CRF),
        "keyframes": store.clip(sample.path, plan.clip, None, wanted),
        "copy with keyframes": store.clip(sample.path, plan.clip, CRF, wanted),
        SECOND: clip_with(sample.path, plan.clip, LIMITS, wanted, Grid(0.0, 0.1)),
        DRAWN: clip_with(sample.path, plan.clip, LIMITS, wanted, drawn),
    }


def judged(
    dataset: Dataset, heads: list[Regression], given: Mapping[str, Mapping[str, Tensor]], deals: int, fit: HeadFit
) -> list[Row]:
    samples = dataset.samples
    resamples = resample([group_of(one) for one in samples], [one.source or "" for one in samples])
    rows = []
    for step, head in enumerate(heads):
        rows_NRF = {kind: head.rows(named) for kind, named in given.items()}
        right = {
            (learnt, kind): right_N
            for learnt, kinds in LEARNT.items()
            for kind, right_N in out_of_fold(dataset, head, rows_NRF, kinds, deals, fit).items()
        }
        for (learnt, kind), right_N in right.items():
            apart = mean_interval(100 * (right_N - right["exact", "exact"]), resamples)
            rows.append(Row(step, learnt, kind, float(right_N.mean()), apart.value, apart.low, apart.high))
    return rows


def out_of_fold(
    dataset: Dataset,
    head: Regression,
    rows_NRF: Mapping[str, Tensor],
    kinds: tuple[str, ...],
    deals: int,
    fit: HeadFit,
) -> dict[str, NDArray[np.float64]]:
    """right_N by kind of clip that is judged: the share of deals in which a video is told right."""
    place = {sample.path: number for number, sample in enumerate(dataset.samples)}
    labels_N = torch.tensor([sample.label for sample in dataset.samples])
    right = {kind: np.zeros(len(labels_N)) for kind in JUDGED}
    for deal in range(deals):
        for rest, part in fold_groups(dataset, FOLDS, deal):
            learning, held = ([place[one.path] for one in some.samples] for some in (rest, part))
            weight_CF, bias_C = regressed(
                head,
                torch.cat([rows_NRF[kind][learning] for kind in kinds]),
                labels_N[learning].repeat(len(kinds)),
                fit,
                len(kinds),
            )
            for kind in JUDGED:
                told = (rows_NRF[kind][held].flatten(1) @ weight_CF.T + bias_C).argmax(dim=1)
                right[kind][held] += (told == labels_N[held]).numpy() / deals
    return right


if __name__ == "__main__":
    main()
