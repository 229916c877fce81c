"""What another seed changes of a model that ships: it deals the groups into folds, and nothing else.

`python -m benchmarks.seeds DATA --json FILE`: heads of the plan, as `fovea train` fits them (on clips and compressed
copies, with exact frames and with keyframes, and on moved clips where the plan has them), and each video answered by
heads that saw none of its group, in as many deals as the plan has, other ones for each seed; `--deals 1` takes a fifth
of the time. Exit rule and default budget are chosen as calibration does. Encoders stand still, so their features are
computed once; in the plan's precision, where `fovea calibrate` takes fp32. `--cache` keeps them: the same command goes
on where it was.

Shape suffixes: N videos, R rows a video, F features, D deals, M = D * N, K steps, C classes.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.keyframe_jitter import CRF, LEARNT, TOLERANCE
from models.catalogue import available_models
from models.families import find_family
from training.data.dataset import Dataset, read_dataset, relative
from training.data.frames import FrameStore
from training.data.groups import fold_groups, group_of
from training.data.keyframes import StandIns
from training.families import training_of
from training.fit.feature_cache import FeatureCache
from training.fit.head_fit import HeadFit
from training.fit.heads import LOGIT_SCALE, regressed
from training.fit.networks import build, start_from_bundle
from training.fit.plans import TrainPlan, find_plan
from training.fit.precision import prepare
from training.fit.preparing import moved
from training.judge.crossfit import NUM_FOLDS, NUM_REPEATS
from training.judge.exit_choice import choose_exit_rule, default_budget_flops
from training.judge.exit_steps import budgets, cross_fitted_steps, rightness
from training.judge.observations import Observations
from training.judge.results import Estimate
from training.judge.seeds_result import SeedRow, SeedsResult, write_seeds
from training.judge.statistics import Interval, accuracy_interval, resample

FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--plan", default="compact", help="or light")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--deals", type=int, help="of the folds, for each seed; as many as the plan has, unless told")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/fovea"))
    parser.add_argument("--json", type=Path, help="write the figures there, such as results/compact/seeds.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dataset = read_dataset(arguments.data).split("train")
    plan = find_plan(arguments.plan, dataset.num_classes)
    network = build(plan.model_plan(None))
    start_from_bundle(network, available_models()["adafocus-v3-compact"])
    prepare(network, plan.recipe.precision, torch.device("cpu"))
    given = features(dataset, plan, network, arguments.cache.expanduser())
    flops = find_family(plan.model.family).step_flops(plan.model)
    num_deals = arguments.deals or plan.recipe.fold_deals
    rows = []
    for seed in range(arguments.seeds):
        seen = observed(dataset, network, given, flops, arguments.data, seed, num_deals, plan.recipe.head_fit)
        rows.append(row_of(seen, seed))
        print(rows[-1].model_dump_json(), flush=True)
    told = (
        f"{len(dataset)} training videos, {num_deals} deal{'' if num_deals == 1 else 's'} of {FOLDS} folds over groups "
        f"for each seed; "
        f"features in {plan.recipe.precision}"
    )
    if arguments.json:
        write_seeds(arguments.json, SeedsResult(plan=arguments.plan, data=told, rows=tuple(rows)))


@torch.no_grad()
def features(dataset: Dataset, plan: TrainPlan, network: nn.Module, cache: Path) -> dict[str, dict[str, Tensor]]:
    """By kind of clip that heads learn from, what they are given, all videos in order."""
    network.eval()
    places = training_of(network).looked_at(plan.model)
    assert places is not None, "a plan whose cubes a rule places"
    assert plan.clip.source_short_side_px is not None
    wanted = StandIns(places, TOLERANCE)
    kinds = {
        "exact": (None, None),
        "copy": (CRF, None),
        "keyframes": (None, wanted),
        "copy with keyframes": (CRF, wanted),
    }
    store, kept = FrameStore(cache, plan.clip.source_short_side_px), FeatureCache(cache, network, plan.recipe.precision)
    found: dict[str, dict[str, list[Tensor]]] = {}
    by = plan.recipe.moved_frames
    learnt = {kind: (kinds[kind], 0) for kind in LEARNT["both"]}
    if by:
        learnt |= {"earlier": (kinds["exact"], -by), "later": (kinds["exact"], by)}
    for kind, (way, frames) in learnt.items():
        for sample in dataset.samples:
            clips_BTHWC = moved(torch.from_numpy(store.clip(sample.path, plan.clip, *way))[None], frames)
            for name, feature in kept.features(network, clips_BTHWC, torch.Generator(), learned=False).items():
                found.setdefault(kind, {}).setdefault(name, []).append(feature)
    return {kind: {name: torch.cat(parts) for name, parts in named.items()} for kind, named in found.items()}


def observed(
    dataset: Dataset,
    network: nn.Module,
    given: Mapping[str, Mapping[str, Tensor]],
    step_flops: tuple[int, ...],
    root: Path,
    seed: int,
    num_deals: int,
    fit: HeadFit,
) -> Observations:
    """What heads that saw none of a video's group say of it, deal by deal."""
    samples = dataset.samples
    place = {sample.path: number for number, sample in enumerate(samples)}
    labels_N = torch.tensor([sample.label for sample in samples])
    training = training_of(network)
    heads = training.regressions(network)
    own_KDNC = torch.zeros(len(heads), num_deals, len(samples), dataset.num_classes)
    kinds = tuple(given)
    for step, head in enumerate(heads):
        rows_NRF = {kind: head.rows(given[kind]) for kind in kinds}
        deals = [fold_groups(dataset, FOLDS, seed, deal) for deal in range(num_deals)]
        for deal, rest, part in [(deal, *fold) for deal, folds in enumerate(deals) for fold in folds]:
            learning, held = ([place[one.path] for one in some.samples] for some in (rest, part))
            weight_CF, bias_C = regressed(
                head,
                torch.cat([rows_NRF[kind][learning] for kind in kinds]),
                labels_N[learning].repeat(len(kinds)),
                fit,
                len(kinds),
            )
            own_KDNC[step, deal, held] = LOGIT_SCALE * (rows_NRF["exact"][held].flatten(1) @ weight_CF.T + bias_C)
    answered_KMC = training.answered(network, list(own_KDNC.flatten(1, 2)))
    log_probs_MKC = torch.stack(list(answered_KMC), dim=1).log_softmax(dim=2)
    return Observations(
        model="compact",
        digest="",
        split="out of fold",
        classes_C=tuple(dataset.labels),
        paths_N=num_deals * tuple(relative(sample.path, root) for sample in samples),
        labels_N=labels_N.repeat(num_deals).numpy().astype(np.int64),
        groups_N=num_deals * tuple(group_of(sample) for sample in samples),
        sources_N=num_deals * tuple(sample.source or "" for sample in samples),
        log_probs_NKC=log_probs_MKC.numpy(),
        step_flops_K=step_flops,
        seconds_K=tuple(float("nan") for _ in step_flops),
        executor="",
        num_deals=num_deals,
    )


def row_of(seen: Observations, seed: int) -> SeedRow:
    resamples = resample(seen.groups_N, seen.sources_N, rows_a_video=seen.num_deals)
    rule = choose_exit_rule(seen).rule
    budget = default_budget_flops(seen, rule)
    right_BN = rightness(seen, cross_fitted_steps(seen, rule, NUM_FOLDS, NUM_REPEATS, seed=0))
    right_N = right_BN[budgets(seen, len(right_BN)).index(budget)]
    last_N = seen.correct_NK[:, -1]
    return SeedRow(
        seed=seed,
        top1_K=tuple(
            estimate(accuracy_interval(seen.correct_NK[:, step], resamples)) for step in range(len(seen.step_flops_K))
        ),
        by_source={source: float(last_N[seen.members(source)].mean()) for source in sorted(set(seen.sources_N))},
        exit_rule=rule,
        default_gflops=budget / 1e9,
        default_top1=estimate(accuracy_interval(right_N, resamples)),
    )


def estimate(interval: Interval) -> Estimate:
    return Estimate(value=interval.value, low=interval.low, high=interval.high)


if __name__ == "__main__":
    main()
