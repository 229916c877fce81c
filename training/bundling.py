"""From a training run to a bundle: weights in fp16, calibrated on what was not trained on, measured on other videos.

Knows no service and no plot. What it writes is whole and checked, or not there.

Shape suffixes: N videos, K steps (step 0: the glance or a part of it), C classes.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from models.bundle import Bundle, write_bundle
from models.bundle_format import Architecture, Card, Description, Framing, Provenance
from models.checkpoints import load_strictly
from models.families import FAMILIES
from models.family import config_of
from models.label_texts import LabelText
from models.recognizer import Recognizer
from models.runtime import RuntimeConfig, make_runtime
from training.data.dataset import Dataset, Sample, read_dataset, relative
from training.data.frames import FrameStore
from training.data.groups import num_shared_groups
from training.families import find_training, training_of
from training.fit.folds import fold_folder
from training.fit.networks import build
from training.fit.recipe import Recipe
from training.fit.run import BEST, DONE, Run, read_run
from training.judge.calibrated import (
    calibrated,
    calibration_errors,
    describe_videos,
    measure_fresh,
    usual_budget_flops,
)
from training.judge.observations import Observations
from training.judge.observe import label_numbers, observe_dataset, readable
from training.kept_features import observe_kept
from training.open_set import fit_if_possible
from video.clip import ClipRule

REFERENCE = RuntimeConfig(name="torch", precision="fp32")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Told:
    """What only whoever trained the model knows. Where nothing is said, the bundle says that."""

    task: str | None = None
    """Accuracies compare within one task only; the data's name unless given."""
    licence: str = "not stated"
    data_terms: str = "not stated"
    intended_use: str = "Recognising the listed labels in videos like those it was trained on."
    limits: str = "A video that shows none of the labels is often told, not always: read its open-set figures."
    default_budget_gflops: float | None = None
    label_texts: Mapping[str, LabelText] = field(default_factory=dict)
    """Names and sentences for people, by label."""


@dataclass(frozen=True, slots=True, eq=False)
class Bundled:
    bundle: Bundle
    held_out: Observations
    """What calibration saw."""
    errors_before_K: tuple[float, ...]
    """Expected calibration error of each exit, before and after its temperature, on the calibration videos."""
    errors_after_K: tuple[float, ...]


def bundle_run(
    run_folder: Path,
    out: Path,
    *,
    told: Told,
    cache: Path,
    data: Path | None = None,
    replace: bool = False,
    num_threads: int | None = None,
    negatives: Path | None = None,
) -> Bundled:
    """Calibrate the best weights of the run and write them as the bundle `out`.

    On the videos that the run held out; where it cross-fitted, on all it trained on, each answered by the network
    of the fold that never saw its group, once in each deal of the folds.
    `data`: where the run's data lies now, if it has moved. Its val split, if there is one, gives the measured figures.
    `negatives`: footage of none of the classes, for the open-set score; without it, synthetic footage alone.
    Raises ValueError for a run that cannot become a bundle; nothing is left behind then.
    """
    check_name(out, overwrite=replace)
    run = read_run(run_folder)
    network = _halved_network(run, run_folder)
    root = data or Path(run.data.path)
    dataset = read_dataset(root)
    held_out = [(folder, _held_out(part, dataset, root)) for folder, part in _holding_out(run, run_folder)]
    family, config = training_of(network).family, config_of(network)
    num_exits = len(family.step_flops(config))
    num_deals = run.recipe.fold_deals if run.recipe.folds else 1
    if (num_held_out := sum(len(part) for _, part in held_out) // num_deals) < num_exits:
        raise ValueError(
            f"{num_held_out} held-out videos are fewer than the model's {num_exits} exits; thresholds solved on so "
            "few mean nothing: train again with a larger held-out share, or on more videos"
        )
    runtime = dataclasses.replace(REFERENCE, num_threads=num_threads)
    store = FrameStore(cache, run.clip.source_short_side_px or min(config.frame_size))

    fine = readable(dataset, store, run.clip)
    can_be_read = {sample.path for sample in fine.samples}
    heads_alone = run.recipe.fitted_heads and not run.recipe.stages and training_of(network).repeatable(network)

    def recognizer_of(one: nn.Module) -> Recognizer[Any]:
        return family.make_recognizer(one, run.clip, [1.0] * num_exits, make_runtime(runtime))

    made = recognizer_of(network)

    def observed(by: nn.Module, part: Dataset, split: str) -> Observations:
        return observe_dataset(
            made if heads_alone or by is network else recognizer_of(by),
            part.subset(sample for sample in part.samples if sample.path in can_be_read),
            store,
            classes_C=run.labels,
            root=root,
            model=out.name,
            split=split,
            timed=False,
            log_probs=partial(observe_kept, by, cache) if heads_alone else None,
        )

    seen = Observations.joined(
        [
            observed(network if folder == run_folder else _halved_network(run, folder), part, "held out of training")
            for folder, part in held_out
        ],
        num_deals=num_deals,
    )
    before_K = calibration_errors(seen, [1.0] * num_exits)
    calibration = calibrated(seen, _calibration_data(seen, root, run))
    after_K = calibration_errors(seen, calibration.temperatures_K)
    validation = [sample for sample in dataset.samples if sample.split == "val"]
    _check_fresh(run, validation, root)
    fresh = observed(network, dataset.subset(validation), "val") if validation else None
    description = Description(
        name=out.name,
        task=told.task or root.resolve().stem,
        labels=run.labels,
        label_texts=dict(told.label_texts),
        trained=True,
        architecture=Architecture(family=family.name, config=config.to_dict()),
        clip=_framing(run.clip, run.recipe),
        default_budget_gflops=told.default_budget_gflops or usual_budget_flops(seen, calibration) / 1e9,
        licence=told.licence,
        provenance=Provenance(
            data=f"{run.data.num_training} videos of {root.resolve().stem}; terms: {told.data_terms}",
            recipe=describe_recipe(run, finished=(run_folder / DONE).exists()),
            seed=run.seed,
            commit=run.commit,
        ),
        card=Card(intended_use=told.intended_use, limits=told.limits),
        measured=measure_fresh(seen, fresh, calibration, num_shared_groups(dataset, "val"), root),
    )
    weights = halved(network.state_dict())
    open_set = fit_if_possible(
        made,
        fine.subset(sample for sample in fine.samples if sample.split != "val"),
        run.labels,
        store,
        cache,
        negatives,
        root,
    )
    bundle = write_bundle(out.parent, description, weights, calibration, replace=replace, open_set=open_set)
    return Bundled(bundle, seen, before_K, after_K)


def check_name(out: Path, *, overwrite: bool) -> None:
    """ValueError where no bundle can be written to `out`: before anything takes long."""
    if not _NAME.fullmatch(out.name):
        raise ValueError(
            f"a bundle cannot be called {out.name!r}: small letters, digits, '.', '_' and '-' only; rename --out"
        )
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists already and is not overwritten; remove it, choose another, or say --replace")


def load_run_network(run: Run, folder: Path) -> nn.Module:
    """The run's best weights in its architecture, in eval mode. ValueError where there are none or they misfit."""
    path = folder / BEST
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); a run has its best weights once it has scored the held-out videos"
        ) from error
    network = build(run.model)
    load_strictly(network, tensors)
    return network.eval()


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels in fp16; biases, norms and their statistics, which are few, as they are.

    Raises ValueError for a weight that fp16 cannot hold.
    """
    result = {}
    for name, tensor in tensors.items():
        small = tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        if not torch.isfinite(small).all():
            raise ValueError(
                f"{name} is not finite, or too large for fp16 (65504); training has diverged: lower its rate"
            )
        result[name] = small
    return result


def describe_recipe(run: Run, *, finished: bool) -> str:
    """One line; the whole is in the run's own folder."""
    recipe = run.recipe
    stages = "; ".join(map(find_training(run.model.family).describe_stage, recipe.stages))
    if recipe.fitted_heads:
        heads = "heads in closed form"
        if recipe.recompress_crf is not None:
            heads += f", on clips compressed once more (crf {recipe.recompress_crf}), too"
        if recipe.keyframe_tolerance:
            heads += f", and with keyframes for the glance's frames (as far as {recipe.keyframe_tolerance:g}), too"
        if recipe.moved_frames:
            heads += f", and begun {recipe.moved_frames} frame(s) earlier and later, too"
        if recipe.head_fit.class_power == 1:
            heads += ", all classes counting alike"
        if recipe.head_fit.local_weight != 1:
            heads += f", what maps hold at key points weighing {recipe.head_fit.local_weight:g} times"
        stages = "; ".join(filter(None, (heads, stages)))
        if recipe.heads_apart and recipe.stages:
            stages += "; the policy taught by heads of other groups"
    if recipe.folds:
        stages += "; nothing held out"
    if recipe.training_frames is not None:
        stages += f"; on {recipe.training_frames} frames of a clip"
    starts = ", ".join(f"{start.part} from {start.file} (sha256 {start.sha256[:8]})" for start in run.starts)
    batch = f"batches of {recipe.batch_size}" + (f" x {recipe.accumulation}" if recipe.accumulation > 1 else "")
    parts = [stages, f"{recipe.optimizer}, {batch}, {recipe.precision}", starts or "from scratch"]
    return "; ".join(parts + ([] if finished else ["the run was not finished: its best weights so far"]))


def _halved_network(run: Run, folder: Path) -> nn.Module:
    """What the bundle will answer with: calibration has to see the rounded weights."""
    if run.model.family not in FAMILIES:
        raise ValueError(f"{folder} holds a {run.model.family} baseline, which has no budget; evaluate it as it is")
    network = load_run_network(run, folder)
    network.load_state_dict(halved(network.state_dict()))
    return network


def _holding_out(run: Run, folder: Path) -> list[tuple[Path, Run]]:
    """The runs whose held-out videos calibrate: its own, or those of its folds, which must be of the same kind."""
    if not run.recipe.folds:
        return [(folder, run)]
    folders = [fold_folder(folder, fold) for fold in range(run.recipe.num_fold_networks)]
    parts = [(part, read_run(part)) for part in folders]
    for part, found in parts:
        if differences := dataclasses.replace(found, data=run.data).differences(run):
            raise ValueError(f"{part} is no fold of {folder}: {differences[0]}; train again into another folder")
    return parts


def _held_out(run: Run, dataset: Dataset, root: Path) -> Dataset:
    wanted = set(run.data.held_out_files)
    found = dataset.subset(sample for sample in dataset.samples if relative(sample.path, root) in wanted)
    if missing := sorted(wanted - {relative(sample.path, root) for sample in found.samples}):
        raise ValueError(
            f"{len(missing)} of the {len(wanted)} videos held out by the run are not in {root}, such as {missing[0]}; "
            "name the data it was trained on with --data"
        )
    label_numbers(found, run.labels)
    return found


def _check_fresh(run: Run, validation: Sequence[Sample], root: Path) -> None:
    trained_on = set(run.data.training_files)
    if known := sorted(trained_on & {relative(sample.path, root) for sample in validation}):
        raise ValueError(
            f"{len(known)} videos of the val split were trained on by this run, such as {known[0]}: figures measured "
            "on them would be too good; move them back, or train again"
        )


def _framing(rule: ClipRule, recipe: Recipe) -> Framing:
    """The clip rule less what follows from the architecture."""
    sampling: Literal["uniform", "window"] = "uniform" if rule.window_s is None else "window"
    return Framing(
        sampling=sampling,
        resize=rule.resize,
        source_short_side_px=rule.source_short_side_px,
        window_s=rule.window_s,
        keyframe_tolerance=recipe.keyframe_tolerance,
        skip_loop_filter=recipe.skip_loop_filter,
    )


def _calibration_data(seen: Observations, root: Path, run: Run) -> str:
    if folds := run.recipe.folds:
        how = f"each answered by one of {folds} networks trained likewise without its group"
        if run.recipe.fold_deals > 1:
            how += f", anew in each of {run.recipe.fold_deals} deals of the folds: figures are the mean over the deals"
    else:
        how = "held out of the training split by whole groups, as early stopping used them"
    return f"{describe_videos(seen, root)}, {how}"
