"""Evaluates a bundle, or a baseline's run, on labelled videos: observes once, scores, and writes what was found.

Knows no arithmetic (`training.judge.scoring`) and no thresholds of its own: those in the bundle are on trial.

    OUT/result.json          numbers with intervals; `fovea report` makes a page of such files
    OUT/observations.npz     what was said at every exit: what other models are compared with (--against)
    OUT/trade-off.png, exits.png, confusion.png
    OUT/pictures/*.png       frames and cubes of easy and hard videos
"""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from models.bundle import Bundle
from models.bundle_format import MANIFEST
from models.exit_rules import LabelOffsets
from models.families import FAMILIES, find_family
from models.loading import load_network
from models.recognizer import Recognizer
from models.runtime import Runtime, RuntimeConfig, make_runtime
from models.thresholds import BudgetGrid
from training.bundling import REFERENCE, describe_recipe, load_run_network
from training.data.dataset import Dataset, read_dataset
from training.data.frames import FrameStore
from training.data.groups import num_shared_groups
from training.families import find_training
from training.fit.run import DONE, RUN, read_run
from training.judge.observations import Observations
from training.judge.observe import observe_dataset, readable
from training.judge.open_set_result import write_open_set_result
from training.judge.pictures import choose, draw_looks, look
from training.judge.plots import check_can_draw, draw_result
from training.judge.results import Coordinates, Result, step_name, write_result
from training.judge.scoring import Origin, score
from training.open_set import evaluate_open_set
from video.clip import ClipRule

OBSERVATIONS = "observations.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is evaluated. `recognizer` answers without temperatures; what has a fixed cost has no budgets."""

    name: str
    digest: str
    labels: tuple[str, ...]
    clip_rule: ClipRule
    recognizer: Recognizer[Any]
    temperatures_K: tuple[float, ...]
    grid: BudgetGrid | None
    default_budget_flops: int | None
    offsets: LabelOffsets | None
    bundle: Bundle | None
    trained: bool
    seed: int
    commit: str | None
    recipe: str


def evaluate(
    folder: Path,
    data: Path,
    out: Path,
    *,
    split: str,
    cache: Path,
    against: Sequence[Path] = (),
    random_draws: int = 1,
    num_pictures: int = 3,
    runtime: RuntimeConfig | None = None,
    negatives: Path | None = None,
) -> Result:
    """Evaluate the bundle or baseline run in `folder` on `split` of `data`, and write `out`.

    `against`: observations of other models on the same videos. Raises ValueError, before anything is observed, for a
    folder that is neither, observations that are none, a split without videos and labels the model does not know, and
    where nothing can be drawn.
    """
    check_can_draw()
    others = [Observations.load(path) for path in against]
    config = runtime or REFERENCE
    executor = make_runtime(config)
    subject = read_subject(folder, executor)
    whole = read_dataset(data)
    described_data = data.resolve().stem
    if num_shared := num_shared_groups(whole, split):
        described_data += f" (OPTIMISTIC: {num_shared} of its groups occur in training too)"
    dataset = whole.split(split)
    store = FrameStore(
        cache, subject.clip_rule.source_short_side_px or min(subject.clip_rule.height_px, subject.clip_rule.width_px)
    )
    dataset = readable(dataset, store, subject.clip_rule)
    num_threads = config.num_threads or len(os.sched_getaffinity(0))
    described = f"{executor.name} {executor.precision} on {executor.device}, {num_threads} threads"

    def observed(recognizer: Recognizer[Any], *, timed: bool) -> Observations:
        return observe_dataset(
            recognizer,
            dataset,
            store,
            classes_C=subject.labels,
            root=data,
            model=subject.name,
            digest=subject.digest,
            split=split,
            executor=described,
            timed=timed,
        )

    seen = observed(subject.recognizer, timed=True)
    seen.save(out / OBSERVATIONS)
    random: dict[Coordinates, list[Observations]] = {}
    if subject.bundle is not None and random_draws:
        for coordinates in get_args(Coordinates):
            draws = _random_recognizers(subject.bundle, coordinates, random_draws, executor)
            if draws:
                random[coordinates] = [observed(recognizer, timed=False) for recognizer in draws]
    origin = Origin(subject.trained, described_data, subject.seed, subject.commit, subject.recipe, machine())
    result = score(
        seen,
        origin,
        grid=subject.grid,
        temperatures_K=subject.temperatures_K,
        default_budget_flops=subject.default_budget_flops,
        random=random,
        others=others,
        offsets=subject.offsets,
    )
    write_result(out, result)
    if negatives is not None and subject.bundle is not None:
        told = f"{described_data}, {split}"
        open_set = evaluate_open_set(subject.recognizer, subject.bundle, dataset, store, cache, negatives, told)
        write_open_set_result(out, open_set)
    draw_result(result, out)
    _draw_pictures(subject, seen, dataset, store, out / "pictures", num_pictures)
    return result


def read_subject(folder: Path, runtime: Runtime) -> Subject:
    """The bundle, or the run of a baseline, in `folder`. Raises ValueError for anything else."""
    if (folder / MANIFEST).exists():
        return _of_bundle(Bundle.read(folder.resolve()), runtime)
    if not (folder / RUN).exists():
        raise ValueError(f"{folder} holds neither a bundle ({MANIFEST}) nor a run ({RUN}); name one of the two")
    run = read_run(folder)
    if run.model.family in FAMILIES:
        raise ValueError(f"{folder} holds a run without thresholds; make a bundle of it with `fovea calibrate` first")
    make_recognizer = find_training(run.model.family).family.make_recognizer
    return Subject(
        name=folder.resolve().name,
        digest="",
        labels=run.labels,
        clip_rule=run.clip,
        recognizer=make_recognizer(load_run_network(run, folder), run.clip, (1.0,), runtime),
        temperatures_K=(1.0,),
        grid=None,
        default_budget_flops=None,
        offsets=None,
        bundle=None,
        trained=True,
        seed=run.seed,
        commit=run.commit,
        recipe=describe_recipe(run, finished=(folder / DONE).exists()),
    )


def machine() -> str:
    """Enough to judge a time by: system, processor family and cores."""
    return f"{platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} cores, torch {torch.__version__}"


def _draw_pictures(
    subject: Subject, seen: Observations, dataset: Dataset, store: FrameStore, folder: Path, num_each: int
) -> None:
    for stale in [*folder.glob("easy-*.png"), *folder.glob("hard-*.png")]:
        stale.unlink()
    for choice in choose(seen, num_each):
        sample = dataset.samples[choice.row]
        clip_THWC = store.clip(sample.path, subject.clip_rule)
        label = seen.classes_C[seen.labels_N[choice.row]]
        right = "at once" if choice.step == 0 else f"after {step_name(choice.step)}"
        title = f"{seen.paths_N[choice.row]}: {label}, right {right} and from there on"
        path = folder / f"{choice.kind}-{step_name(choice.step).replace(' ', '-')}-{sample.path.stem}.png"
        draw_looks(clip_THWC, look(subject.recognizer, clip_THWC), subject.labels, path, title=title)


def _of_bundle(bundle: Bundle, runtime: Runtime) -> Subject:
    origin = bundle.manifest.provenance
    fixed = len(bundle.step_flops) == 1
    return Subject(
        name=bundle.name,
        digest=bundle.digest,
        labels=bundle.labels,
        clip_rule=bundle.clip_rule,
        recognizer=_untempered(bundle, load_network(bundle), runtime),
        temperatures_K=bundle.calibration.temperatures_K,
        grid=None if fixed else bundle.grid,
        default_budget_flops=None if fixed else bundle.default_budget_flops,
        offsets=bundle.calibration.offsets,
        bundle=bundle,
        trained=bundle.trained,
        seed=origin.seed,
        commit=origin.commit,
        recipe=origin.recipe,
    )


def _untempered(bundle: Bundle, network: nn.Module, runtime: Runtime) -> Recognizer[Any]:
    ones = [1.0] * len(bundle.step_flops)
    return find_family(bundle.config.family).make_recognizer(network, bundle.clip_rule, ones, runtime)


def _random_recognizers(bundle: Bundle, coordinates: Coordinates, num: int, runtime: Runtime) -> list[Recognizer[Any]]:
    """Each with a seed of its own; none of a model without cubes."""
    randomise = find_training(bundle.config.family).randomise
    if randomise is None:
        return []
    made = []
    for seed in range(num):
        network = load_network(bundle)
        randomise(network, coordinates, seed)
        made.append(_untempered(bundle, network, runtime))
    return made
