"""Where cubes look, out of fold: anywhere, in the middle, where pixels change, around the person; and whole frames.

`python -m benchmarks.placements DATA --json FILE`: features of the training videos by the plan `compact` and its
`compact-centre`, `compact-motion` and `compact-random`, all from the networks of the bundle that ships, which never
saw these videos. *Whole frames*: the same network and heads on all sixteen frames of 224 x 320, with key points and
without. Heads in closed form, as `fovea train` fits them, on clips as they are; each video is judged by heads that saw
none of its group, in several deals of the folds. Intervals are of paired differences, by resampling groups within each
source.

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

from models.adafocus.config import AdaFocusConfig
from models.catalogue import available_models
from models.families import find_family
from training.data.dataset import Dataset, read_dataset
from training.data.frames import FrameStore
from training.data.groups import fold_groups, group_of
from training.families import training_of
from training.family import Regression
from training.fit.feature_cache import FeatureCache
from training.fit.heads import regressed
from training.fit.networks import build, start_from_bundle
from training.fit.plans import find_plan
from training.fit.precision import prepare
from training.fit.run import ModelPlan
from training.judge.placement_result import PlacementResult, PlacementRow, write_placements
from training.judge.results import Estimate
from training.judge.statistics import Interval, mean_interval, resample
from video.clip import ClipRule

FOLDS = 5
PLANS = {"random": "compact-random", "centre": "compact-centre", "motion": "compact-motion", "person": "compact"}
WHOLE, WHOLE_ALONE = "whole frames", "whole frames without key points"
WHOLE_SIZE = (224, 320)
REFERENCE = "person"


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One way to look: its network, its clips, and which of its heads are rows."""

    network: nn.Module
    config: AdaFocusConfig
    clip: ClipRule

    def steps(self) -> range:
        """Of whole frames the one step after a glance that is not charged."""
        return range(1, self.config.max_cubes + 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.placements", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--deals", type=int, default=4, help="of the folds")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/fovea"))
    parser.add_argument("--features-only", help="compute this row's features, and no figures")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop computing features after that long")
    parser.add_argument("--json", type=Path, help="write the figures there, such as results/compact/placements.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = read_dataset(arguments.data).split("train")
    until = time.monotonic() + arguments.seconds
    names = [arguments.features_only] if arguments.features_only else [*PLANS, WHOLE]
    ways = {name: way_of(name, dataset.num_classes) for name in names}
    given = {name: features(dataset, way, arguments.cache.expanduser(), until) for name, way in ways.items()}
    if any(found is None for found in given.values()):
        raise SystemExit("not all features are there: the same command goes on")
    if arguments.features_only:
        return
    found = compared(dataset, ways, {name: one for name, one in given.items() if one is not None}, arguments.deals)
    print(json.dumps(asdict_rows(found), indent=1))
    if arguments.json:
        write_placements(arguments.json, found)


def way_of(name: str, num_classes: int) -> Way:
    plan = find_plan(PLANS.get(name, "compact"), num_classes)
    config, clip = plan.model, plan.clip
    assert isinstance(config, AdaFocusConfig)
    if name == WHOLE:
        config = whole_frames(config)
        clip = replace(clip, height_px=WHOLE_SIZE[0], width_px=WHOLE_SIZE[1])
    network = build(ModelPlan(config.family, config.to_dict()))
    start_from_bundle(network, available_models()["adafocus-v3-compact"])
    prepare(network, plan.recipe.precision, torch.device("cpu"))
    return Way(network.eval(), config, clip)


def whole_frames(config: AdaFocusConfig) -> AdaFocusConfig:
    """One cube that is the whole clip, behind a glance that its heads are not given and that is not charged."""
    return replace(
        config,
        frame_size=WHOLE_SIZE,
        glance_indices=tuple(range(config.num_frames)),
        glance_size=(32, 32),
        cube_size=(config.num_frames, *WHOLE_SIZE),
        max_cubes=1,
        step_frames=(tuple(range(config.num_frames)),),
        placement="centre",
        glance_features=False,
    )


@torch.no_grad()
def features(dataset: Dataset, way: Way, cache: Path, until: float) -> dict[str, Tensor] | None:
    """What heads are given, all videos in order; None where time was up."""
    assert way.clip.source_short_side_px is not None
    store, kept = FrameStore(cache, way.clip.source_short_side_px), FeatureCache(cache, way.network, "bf16")
    found: dict[str, list[Tensor]] = {}
    for sample in dataset.samples:
        if time.monotonic() > until:
            return None
        clips_BTHWC = torch.from_numpy(store.clip(sample.path, way.clip))[None]
        for name, feature in kept.features(way.network, clips_BTHWC, torch.Generator(), learned=False).items():
            found.setdefault(name, []).append(feature)
    return {name: torch.cat(parts) for name, parts in found.items()}


def compared(
    dataset: Dataset, ways: Mapping[str, Way], given: Mapping[str, Mapping[str, Tensor]], deals: int
) -> PlacementResult:
    right: dict[tuple[str, int], NDArray[np.float64]] = {}
    flops: dict[tuple[str, int], int] = {}
    for name, way in ways.items():
        heads = training_of(way.network).regressions(way.network)
        spent = np.cumsum(find_family(way.config.family).step_flops(way.config)).tolist()
        if name == REFERENCE:
            right["glance", 0], flops["glance", 0] = out_of_fold(dataset, heads[0], given[name], deals), spent[0]
        for step in way.steps():
            key = (name, step)
            right[key] = out_of_fold(dataset, heads[step], given[name], deals)
            flops[key] = spent[step] - (spent[0] if name == WHOLE else 0)
    points = ways[WHOLE].config
    alone = replace(points, key_points=False)
    network = build(ModelPlan(alone.family, alone.to_dict()))
    head = training_of(network).regressions(network)[1]
    right[WHOLE_ALONE, 1] = out_of_fold(dataset, head, without_key_points(given[WHOLE], points, alone), deals)
    priced = find_family(alone.family).step_flops(alone)
    flops[WHOLE_ALONE, 1] = priced[1]
    resamples = resample([group_of(one) for one in dataset.samples], [one.source or "" for one in dataset.samples])
    most = max(step for name, step in right if name == REFERENCE)
    rows = []
    for (name, step), right_N in right.items():
        against = (REFERENCE, most if name in (WHOLE, WHOLE_ALONE) else step)
        apart = None
        if against in right and name != REFERENCE:
            apart = estimate(mean_interval(right[against] - right_N, resamples))
        rows.append(
            PlacementRow(
                name=name,
                step=step,
                gflops=flops[name, step] / 1e9,
                top1=estimate(mean_interval(right_N, resamples)),
                person_less_this=apart,
                person_cost_ratio=flops[against] / flops[name, step] if against in flops else None,
            )
        )
    told = f"{len(dataset)} training videos, {FOLDS} folds over groups, {deals} deals; heads on clips as they are"
    return PlacementResult(model="compact", data=told, groups=resamples.num_groups, rows=tuple(rows))


def without_key_points(given: Mapping[str, Tensor], points: AdaFocusConfig, alone: AdaFocusConfig) -> dict[str, Tensor]:
    """The same features less the numbers of key points of each frame."""
    slots, width = points.cube_size[0], given["memory"].shape[2] // points.cube_size[0]
    wanted = training_of(network := build(ModelPlan(alone.family, alone.to_dict()))).regressions(network)
    assert wanted, "a head for each step"
    described = network.classifier.described  # type: ignore[union-attr, operator]
    memory_NKSV = given["memory"].unflatten(2, (slots, width))[..., : int(described)]  # type: ignore[arg-type]
    return {"glance": given["glance"], "memory": memory_NKSV.flatten(2)}


def out_of_fold(dataset: Dataset, head: Regression, given: Mapping[str, Tensor], deals: int) -> NDArray[np.float64]:
    """right_N: the share of deals in which a video is told right by heads that saw none of its group."""
    rows_NRF = head.rows(given)
    place = {sample.path: number for number, sample in enumerate(dataset.samples)}
    labels_N = torch.tensor([sample.label for sample in dataset.samples])
    right_N = np.zeros(len(labels_N))
    for deal in range(deals):
        for rest, part in fold_groups(dataset, FOLDS, deal):
            learning, held = ([place[one.path] for one in some.samples] for some in (rest, part))
            weight_CF, bias_C = regressed(head, rows_NRF[learning], labels_N[learning])
            told = (rows_NRF[held].flatten(1) @ weight_CF.T + bias_C).argmax(dim=1)
            right_N[held] += (told == labels_N[held]).numpy() / deals
    return right_N


def estimate(interval: Interval) -> Estimate:
    return Estimate(value=interval.value, low=interval.low, high=interval.high)


def asdict_rows(found: PlacementResult) -> object:
    return json.loads(found.model_dump_json())


if __name__ == "__main__":
    main()
