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
from typing import Any

import torch

from models.adafocus.network import AdaFocusV3
from models.adafocus.recognizer import AdaFocusRecognizer
from models.bundle import Bundle
from models.bundle_format import MANIFEST
from models.families import make_recognizer
from models.loading import load_network
from models.recognizer import Recognizer
from models.runtime import Runtime, RuntimeConfig, make_runtime
from models.thresholds import BudgetGrid
from training.bundling import REFERENCE, describe_recipe, load_run_network
from training.data.dataset import Dataset, read_dataset
from training.data.frames import FrameStore
from training.data.groups import num_shared_groups
from training.fit.baselines import FullFrame
from training.fit.run import DONE, RUN, read_run
from training.judge.fixed import FixedRecognizer
from training.judge.observations import Observations
from training.judge.observe import Random, observe_dataset, randomise, readable
from training.judge.pictures import choose, draw_looks, look
from training.judge.plots import check_can_draw, draw_result
from training.judge.results import Result, step_name, write_result
from training.judge.scoring import Origin, score
from video.clip import ClipRule

OBSERVATIONS = "observations.npz"
RANDOM: tuple[Random, ...] = ("space-time", "space", "time")


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is evaluated. `recognizer` answers without temperatures; what has a fixed cost has no budgets."""

    name: str
    digest: str
    labels: tuple[str, ...]
    spec: ClipRule
    recognizer: Recognizer[Any]
    temperatures_K: tuple[float, ...]
    grid: BudgetGrid | None
    default_budget_flops: int | None
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
    store = FrameStore(cache, subject.spec.source_short_side_px or min(subject.spec.height_px, subject.spec.width_px))
    dataset = readable(dataset, store, subject.spec)
    num_threads = config.num_threads or len(os.sched_getaffinity(0))
    described = f"{executor.name} {executor.precision} on {executor.device}, {num_threads} threads"

    def observed(recognizer: Recognizer[Any], *, timed: bool) -> Observations:
        return observe_dataset(
            recognizer, dataset, store, classes_C=subject.labels, root=data, model=subject.name, digest=subject.digest,
            split=split, executor=described, timed=timed,
        )  # fmt: skip

    seen = observed(subject.recognizer, timed=True)
    seen.save(out / OBSERVATIONS)
    random: dict[Random, list[Observations]] = {}
    if subject.bundle is not None and random_draws and len(subject.bundle.step_flops) > 1:
        for coordinates in RANDOM:
            draws = [_random_recognizer(subject.bundle, coordinates, seed, executor) for seed in range(random_draws)]
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
    )
    write_result(out, result)
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
    network = load_run_network(run, folder)
    if not isinstance(network, FullFrame):
        raise ValueError(f"{folder} holds a run without thresholds; make a bundle of it with `fovea calibrate` first")
    recognizer = FixedRecognizer(network, run.clip, runtime)
    return Subject(
        name=folder.resolve().name, digest="", labels=run.labels, spec=run.clip, recognizer=recognizer,
        temperatures_K=(1.0,), grid=None, default_budget_flops=None, bundle=None, trained=True, seed=run.seed,
        commit=run.commit, recipe=describe_recipe(run, finished=(folder / DONE).exists()),
    )  # fmt: skip


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
        clip_THWC = store.clip(sample.path, subject.spec)
        label = seen.classes_C[seen.labels_N[choice.row]]
        right = "at once" if choice.step == 0 else f"after {step_name(choice.step)}"
        title = f"{seen.paths_N[choice.row]}: {label}, right {right} and from there on"
        path = folder / f"{choice.kind}-{step_name(choice.step).replace(' ', '-')}-{sample.path.stem}.png"
        draw_looks(clip_THWC, look(subject.recognizer, clip_THWC), subject.labels, path, title=title)


def _of_bundle(bundle: Bundle, runtime: Runtime) -> Subject:
    recognizer = make_recognizer(load_network(bundle), bundle.clip_rule, [1.0] * len(bundle.step_flops), runtime)
    origin = bundle.manifest.provenance
    fixed = len(bundle.step_flops) == 1
    return Subject(
        name=bundle.name, digest=bundle.digest, labels=bundle.labels, spec=bundle.clip_rule, recognizer=recognizer,
        temperatures_K=bundle.calibration.temperatures_K, grid=None if fixed else bundle.grid,
        default_budget_flops=None if fixed else bundle.default_budget_flops, bundle=bundle, trained=bundle.trained,
        seed=origin.seed, commit=origin.commit, recipe=origin.recipe,
    )  # fmt: skip


def _random_recognizer(bundle: Bundle, coordinates: Random, seed: int, runtime: Runtime) -> AdaFocusRecognizer:
    network = load_network(bundle)
    assert isinstance(network, AdaFocusV3), "only cubes can be drawn at random"
    randomise(network, coordinates, seed)
    return AdaFocusRecognizer(network, bundle.clip_rule, [1.0] * len(bundle.step_flops), runtime)
