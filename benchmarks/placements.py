"""Where cubes look, out of fold: anywhere, in the middle, where pixels change, around the person; and whole frames.

`python -m benchmarks.placements DATA --json FILE`: features of the training videos by the plan `compact`, or by
`--plan light`, and by the same with cubes elsewhere, all from the networks of the bundle that ships, which never saw
these videos. *Whole frames*: the same network and heads on all sixteen frames of 224 x 320, with key points and
without. Heads in closed form, as `fovea train` fits them, on clips as they are, each by itself, and without a cube of
motion; each video is judged by heads that saw none of its group, in several deals of the folds. *As it ships*: the plan
as it is, with what its exits keep of each other's answers. Intervals are of paired differences, by resampling groups
within each source.

There is no row *learned*: a policy trained by gradient belongs to another network (the plan `compact-learned`).

`--cache` keeps features: the same command goes on where it was. `--features-only ROW --seconds S` computes some.

Shape suffixes: N videos, R rows a video, F features, C classes.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig, Placement
from models.bundle import Bundle
from models.catalogue import available_models
from models.loading import load_network
from training.data.dataset import Dataset, read_dataset
from training.data.frames import FrameStore
from training.data.groups import fold_groups, group_of
from training.families import find_training, training_of
from training.fit.feature_cache import FeatureCache
from training.fit.head_fit import HeadFit
from training.fit.heads import regressed
from training.fit.networks import build
from training.fit.plans import find_plan
from training.fit.precision import prepare
from training.fit.recipe import Precision
from training.full_frame.whole import WholeFrames
from training.judge.placement_result import PERSON, SHIPS, PlacementResult, PlacementRow, write_placements
from training.judge.results import Estimate
from training.judge.statistics import Interval, accuracy_interval, mean_interval, resample
from video.clip import ClipRule

FOLDS = 5
PLACED: tuple[Placement, ...] = ("random", "centre", "motion", "person")
WHOLE, ALONE = "whole frames", "whole frames without key points"
WHOLE_NAMES = {WHOLE: "whole-frames", ALONE: "whole-frames-alone"}
"""Rows, and `--baseline` of `fovea train`."""
REFERENCE = PERSON


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One way to look: its network, its clips, and what each of its heads costs in all."""

    network: nn.Module
    clip: ClipRule
    spent_K: tuple[int, ...]
    precision: Precision
    fit: HeadFit


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.placements", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--plan", default="compact", help="or light")
    parser.add_argument("--deals", type=int, default=4, help="of the folds")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/fovea"))
    parser.add_argument("--features-only", help="compute this row's features, and no figures")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop computing features after that long")
    parser.add_argument("--json", type=Path, help="write the figures there, such as results/compact/placements.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = read_dataset(arguments.data).split("train")
    until = time.monotonic() + arguments.seconds
    names = [arguments.features_only] if arguments.features_only else rows_of(arguments.plan, dataset.num_classes)
    ways = {name: way_of(name, dataset.num_classes, arguments.plan) for name in names}
    given = {name: features(dataset, way, arguments.cache.expanduser(), until) for name, way in ways.items()}
    if any(found is None for found in given.values()):
        raise SystemExit("not all features are there: the same command goes on")
    if arguments.features_only:
        return
    there = {name: one for name, one in given.items() if one is not None}
    ways[ALONE] = way_of(ALONE, dataset.num_classes, arguments.plan)
    there[ALONE] = without_key_points(there[WHOLE], ways[ALONE].network)
    found = compared(dataset, ways, there, arguments.deals, arguments.plan)
    print(json.dumps(asdict_rows(found), indent=1))
    if arguments.json:
        write_placements(arguments.json, found)


def rows_of(base: str, num_classes: int) -> list[str]:
    """What ships has a row of its own where it is more than cubes that follow a person."""
    model = find_plan(base, num_classes).model
    assert isinstance(model, AdaFocusConfig), "a plan whose cubes a rule places"
    return [*PLACED, *([SHIPS] if model.motion_frames or model.recycled_share else []), WHOLE]


def way_of(name: str, num_classes: int, base: str = "compact") -> Way:
    """One row's: of the plan `base`, whose cubes follow a person, and which ships."""
    plan = find_plan(base, num_classes)
    assert isinstance(plan.model, AdaFocusConfig), "a plan whose cubes a rule places"
    config = plan.model
    for placement in PLACED:
        if name == placement:
            config = replace(config, placement=placement)
    if name != SHIPS:  # cubes of motion are the same whatever places the others
        config = replace(config, first_glance_indices=(), motion_frames=(), recycled_share=0.0)
    plan = replace(plan, model=config)
    model = plan.model_plan(WHOLE_NAMES.get(name))
    network = build(model)
    shipped = load_network(Bundle.read(available_models()["adafocus-v3-compact"])).state_dict()
    network.load_state_dict(
        network.state_dict()
        | {key: value for key, value in shipped.items() if key.startswith(training_of(network).backbones)
           and key in network.state_dict()}
    )  # fmt: skip
    prepare(network, plan.recipe.precision, torch.device("cpu"))
    family = find_training(model.family).family
    flops = family.step_flops(family.read_config(model.config))
    fit = replace(plan.recipe.head_fit, block_ridge=HeadFit().block_ridge)  # each clip is there in one form
    return Way(network.eval(), plan.clip, tuple(np.cumsum(flops).tolist()), plan.recipe.precision, fit)


@torch.no_grad()
def features(dataset: Dataset, way: Way, cache: Path, until: float) -> dict[str, Tensor] | None:
    """What heads are given, all videos in order; None where time was up."""
    assert way.clip.source_short_side_px is not None
    store, kept = FrameStore(cache, way.clip.source_short_side_px), FeatureCache(cache, way.network, way.precision)
    found: dict[str, list[Tensor]] = {}
    for sample in dataset.samples:
        if time.monotonic() > until:
            return None
        clips_BTHWC = torch.from_numpy(store.clip(sample.path, way.clip))[None]
        for name, feature in kept.features(way.network, clips_BTHWC, torch.Generator(), learned=False).items():
            found.setdefault(name, []).append(feature)
    return {name: torch.cat(parts) for name, parts in found.items()}


def compared(
    dataset: Dataset, ways: Mapping[str, Way], given: Mapping[str, Mapping[str, Tensor]], deals: int, model: str
) -> PlacementResult:
    right: dict[tuple[str, int], NDArray[np.float64]] = {}
    flops: dict[tuple[str, int], int] = {}
    for name, way in ways.items():
        for step, right_N in enumerate(out_of_fold(dataset, way, given[name], deals)):
            if step == 0 and name in PLACED and name != REFERENCE:
                continue  # the glance is the same
            key = ("glance", 0) if step == 0 and name in PLACED else (name, step)
            right[key], flops[key] = right_N, way.spent_K[step]
    resamples = resample([group_of(one) for one in dataset.samples], [one.source or "" for one in dataset.samples])

    def held_against(key: tuple[str, int], against: tuple[str, int]) -> tuple[Estimate | None, float | None]:
        if against not in right or key == against:
            return None, None
        return estimate(mean_interval(right[against] - right[key], resamples)), flops[against] / flops[key]

    last = {name: max((step for other, step in right if other == name), default=0) for name in (REFERENCE, SHIPS)}
    rows = []
    for (name, step), right_N in right.items():
        is_whole = name in WHOLE_NAMES
        apart, ratio = None, None
        if name != SHIPS:
            apart, ratio = held_against((name, step), (REFERENCE, last[REFERENCE] if is_whole else step))
        ships, ships_ratio = held_against((name, step), (SHIPS, last[SHIPS])) if is_whole else (None, None)
        rows.append(
            PlacementRow(
                name=name,
                step=step,
                gflops=flops[name, step] / 1e9,
                top1=estimate(accuracy_interval(right_N, resamples)),
                person_less_this=apart,
                person_cost_ratio=ratio,
                ships_less_this=ships,
                ships_cost_ratio=ships_ratio,
            )
        )
    told = (
        f"{len(dataset)} training videos, {FOLDS} folds over groups, {deals} deals; heads on clips as they are, "
        f"features in {ways[REFERENCE].precision}"
    )
    return PlacementResult(model=model, data=told, groups=resamples.num_groups, rows=tuple(rows))


def without_key_points(given: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """What heads without key points are given: of each frame its features, which stand first."""
    assert isinstance(network, WholeFrames)
    classifier = network.classifier
    memory_NTV = given["memory"].reshape(len(given["memory"]), classifier.slots, -1)
    return {"memory": memory_NTV[..., : classifier.described].flatten(1)}


def out_of_fold(dataset: Dataset, way: Way, given: Mapping[str, Tensor], deals: int) -> tuple[NDArray[np.float64], ...]:
    """right_N after each step: in which share of deals a video is told right by heads that saw none of its group."""
    training = training_of(way.network)
    heads = training.regressions(way.network)
    place = {sample.path: number for number, sample in enumerate(dataset.samples)}
    labels_N = torch.tensor([sample.label for sample in dataset.samples])
    own_KDNC = torch.zeros(len(heads), deals, len(labels_N), len(dataset.labels))
    for own_DNC, head in zip(own_KDNC, heads, strict=True):
        rows_NRF = head.rows(given)
        for deal in range(deals):
            for rest, part in fold_groups(dataset, FOLDS, deal):
                learning, held = ([place[one.path] for one in some.samples] for some in (rest, part))
                weight_CF, bias_C = regressed(head, rows_NRF[learning], labels_N[learning], way.fit)
                own_DNC[deal, held] = rows_NRF[held].flatten(1) @ weight_CF.T + bias_C
    answered_KMC = training.answered(way.network, list(own_KDNC.flatten(1, 2)))
    return tuple(
        (answered_MC.reshape(deals, *own_KDNC.shape[2:]).argmax(dim=2) == labels_N).double().mean(dim=0).numpy()
        for answered_MC in answered_KMC
    )


def estimate(interval: Interval) -> Estimate:
    return Estimate(value=interval.value, low=interval.low, high=interval.high)


def asdict_rows(found: PlacementResult) -> object:
    return json.loads(found.model_dump_json())


if __name__ == "__main__":
    main()
