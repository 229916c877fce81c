"""From what a user asked for to a run that is ready to go: data split, weights loaded, run.json written or compared.

Knows no terminal and no loop.
"""

import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.data.batches import Alternating, Batches, prefetched
from training.data.dataset import Dataset, read_dataset, relative
from training.data.frames import FrameStore
from training.data.groups import fold_groups, halve_groups, hold_out_groups
from training.data.keyframes import StandIns
from training.families import find_training, training_of
from training.fit.apart import Halves
from training.fit.networks import build, has_part, start_from_bundle, start_parts
from training.fit.plans import TrainPlan, find_plan
from training.fit.precision import prepare
from training.fit.recipe import PARTS, Recipe
from training.fit.run import RUN, DataUsed, Run, Start, code_commit, read_run, write_run
from training.fit.team import ALONE, Team
from training.fit.trainer import Report, Trainer
from video.clip import ClipRule


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What `fovea train` was told."""

    data: Path
    out: Path
    plan: str
    cache: Path
    baseline: str | None = None
    weights: Mapping[str, Path] = field(default_factory=dict)
    """By part of the network, image weights to start it from."""
    bundle: Path | None = None
    seed: int | None = None
    """Instead of the plan's."""
    flip: tuple[str, ...] = ()
    """Instead of the plan's: patterns of labels whose videos may be mirrored."""
    fold: int | None = None
    """Of a recipe that cross-fits, the fold to leave out, counted through all deals; None: none."""
    device: str = "cpu"
    overrides: tuple[str, ...] = ()
    """NAME=VALUE: entries of the plan that are others here."""


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    run: Run
    network: nn.Module
    batches: Batches
    held_out: Dataset
    """Empty where the run is on everything."""
    store: FrameStore
    features: Path
    """The folder of `FeatureCache`s."""
    halves: tuple[Batches, Batches] | None = None
    """Of the videos to learn from, where a policy is to be taught by heads that have not seen its clips."""
    team: Team = ALONE

    def trainer(self, out: Path, report: Report | None = None) -> Trainer:
        return Trainer(
            network=self.network,
            recipe=self.run.recipe,
            batches_from=self._batches_from,
            held_out=partial(self._plain, self.held_out) if self.held_out.samples else None,
            steps_per_epoch=self.steps_per_epoch,
            out=out,
            plain=partial(self._for_heads, self.batches.dataset),
            halves=self._plain_halves,
            features=self.features,
            report=report,
            team=self.team,
        )

    def _plain(
        self, dataset: Dataset, recompress_crf: int | None = None, stand_ins: StandIns | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        return plain_batches(dataset, self.store, self.run.clip, self.run.recipe.batch_size, recompress_crf, stand_ins)

    def _for_heads(self, dataset: Dataset) -> Iterator[tuple[Tensor, Tensor]]:
        """Clips as they are, and what else the recipe says: compressed once more, with keyframes, both; moved."""
        stand_ins = stand_ins_of(self.run)
        for with_keyframes in (None,) if stand_ins is None else (None, stand_ins):
            yield from self._plain(dataset, None, with_keyframes)
            if self.run.recipe.recompress_crf is not None:
                yield from self._plain(dataset, self.run.recipe.recompress_crf, with_keyframes)
        if frames := self.run.recipe.moved_frames:
            for clips_BTHWC, labels_B in self._plain(dataset):
                for by in (-frames, frames):
                    yield moved(clips_BTHWC, by), labels_B

    @property
    def _plain_halves(self) -> Halves | None:
        if self.halves is None:
            return None
        first, second = self.halves
        return partial(self._for_heads, first.dataset), partial(self._for_heads, second.dataset)

    @property
    def steps_per_epoch(self) -> int:
        return max(1, round(self.batches.steps_per_epoch / self.run.recipe.accumulation))

    def _batches_from(self, first: int) -> Generator[tuple[Tensor, Tensor], None, None]:
        batches = self.batches if self.halves is None else Alternating(*self.halves)
        pinned = next(self.network.parameters()).device.type == "cuda"
        yield from prefetched(batches, first, every=self.team.size, pinned=pinned)


def make_ready(
    request: TrainRequest,
    *,
    team: Team = ALONE,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Ready:
    """Decode what was never decoded (`report(done, total)`), split, build, and write or compare OUT/run.json.

    On all cores; the processes of a `team` on one machine share the work.

    Raises ValueError kin for whatever cannot be trained on or with, and where OUT holds another run; nothing is
    written then.
    """
    device = _device(request.device)
    dataset = read_dataset(request.data)
    plan = find_plan(request.plan, dataset.num_classes, request.overrides)
    recipe = _recipe(request, plan)
    augmentation = replace(plan.augmentation, flip=request.flip) if request.flip else plan.augmentation
    model = plan.model_plan(request.baseline)
    network = build(model, recipe.seed)
    starts = () if request.bundle is None else start_from_bundle(network, request.bundle)
    starts += start_parts(network, request.weights)
    _check_frozen(recipe, network, starts)
    if plan.clip.source_short_side_px is None:
        raise ValueError("the plan's clip rule has no source_short_side_px, which training on stored frames needs")
    store = FrameStore(request.cache.expanduser(), plan.clip.source_short_side_px)
    train = dataset.split("train")
    clips_alone = None if recipe.stages else plan.clip  # nothing is drawn where heads are all there is to find
    num_workers = max(1, len(os.sched_getaffinity(0)) // team.local_size)
    if team.size > 1:
        own = [sample.path for sample in train.samples][team.local_rank :: team.local_size]
        for _ in store.decode_all(own, clips_alone, num_workers):
            pass
        team.wait()  # what follows finds all but the unreadable ones
        num_workers = 1
    train = store.fill(
        train, clips_alone=clips_alone, num_workers=num_workers, report=lambda done: report(done, len(train))
    )
    learning, held_out = _learning_and_held_out(train, recipe, request.fold)
    run = Run(
        model=model,
        clip=plan.clip,
        labels=dataset.labels,
        recipe=recipe,
        augmentation=augmentation.to_dict(),
        data=_data_used(request.data, train, learning, held_out),
        starts=starts,
        commit=code_commit(),
    )
    stand_ins_of(run)  # refused before anything is written
    clip = replace(plan.clip, num_frames=recipe.training_frames or plan.clip.num_frames)

    def batches(dataset: Dataset) -> Batches:
        return Batches(dataset, store, clip, augmentation, recipe.batch_size, recipe.seed, balanced=recipe.balanced)

    prepare(network, recipe.precision, device)
    halves = halve_groups(learning, recipe.seed) if recipe.heads_apart and recipe.stages else None
    return Ready(
        run=_settled(request.out, run, team),
        network=network,
        batches=batches(learning),
        held_out=held_out,
        store=store,
        features=request.cache.expanduser(),
        halves=None if halves is None else (batches(halves[0]), batches(halves[1])),
        team=team,
    )


def num_folds(request: TrainRequest) -> int:
    """Networks to train before the one on everything, which alone a baseline needs: it is not calibrated."""
    any_number_of_classes = 2  # which the data need not be read for
    plan = find_plan(request.plan, any_number_of_classes, request.overrides)
    return plan.recipe.num_fold_networks if request.baseline is None else 0


def _recipe(request: TrainRequest, plan: TrainPlan) -> Recipe:
    recipe = plan.recipe if request.seed is None else replace(plan.recipe, seed=request.seed)
    if request.baseline is None:
        return recipe
    # A baseline has no policy.
    return replace(recipe, stages=tuple(stage for stage in recipe.stages if stage.trains != ("policy",)))


def _learning_and_held_out(train: Dataset, recipe: Recipe, fold: int | None) -> tuple[Dataset, Dataset]:
    if not recipe.folds:
        return hold_out_groups(train, recipe.held_out_share, recipe.seed)
    # all deals: whoever cannot have them finds out before anything is trained
    deals = [fold_groups(train, recipe.folds, recipe.seed, deal) for deal in range(recipe.fold_deals)]
    return (train, train.subset(())) if fold is None else deals[fold // recipe.folds][fold % recipe.folds]


def plain_batches(
    dataset: Dataset,
    store: FrameStore,
    clip_rule: ClipRule,
    batch_size: int,
    recompress_crf: int | None = None,
    stand_ins: StandIns | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """(clips_BTHWC, labels_B) as inference would see them, or as copies of that quality, in order."""
    for first in range(0, len(dataset), batch_size):
        samples = dataset.samples[first : first + batch_size]
        clips_BTHWC = np.stack([store.clip(sample.path, clip_rule, recompress_crf, stand_ins) for sample in samples])
        yield torch.from_numpy(clips_BTHWC), torch.tensor([sample.label for sample in samples])


def moved(clips_BTHWC: Tensor, by: int) -> Tensor:
    """Clips that begin so many frames later (or earlier); where nothing follows, the last frame stays."""
    last = clips_BTHWC.shape[1] - 1
    return clips_BTHWC[:, (torch.arange(last + 1) + by).clamp(0, last)]


def stand_ins_of(run: Run) -> StandIns | None:
    """None where the recipe wants exact frames alone. ValueError where cubes look at frames that no glance has seen."""
    if not run.recipe.keyframe_tolerance:
        return None
    training = find_training(run.model.family)
    places = training.looked_at(training.family.read_config(run.model.config))
    if places is None:
        raise ValueError(
            f"keyframe_tolerance is {run.recipe.keyframe_tolerance:g}, but keyframes can stand in only where all steps "
            "look at frames of the glance; take a plan whose cubes a rule places, such as compact, or 0"
        )
    return StandIns(places, run.recipe.keyframe_tolerance)


def _device(name: str) -> torch.device:
    if name.partition(":")[0] not in {"cpu", "cuda"}:
        raise ValueError(f"device is {name!r}, but must be cpu or cuda")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name!r} cannot be used ({reason}); train on the cpu") from error
    return torch.device(name)


def _check_frozen(recipe: Recipe, network: nn.Module, starts: tuple[Start, ...]) -> None:
    """What never learns must be there, and have come from somewhere."""
    modules = [name for name, _ in network.named_modules()]
    for name in recipe.frozen:
        part = name.split(".")[0]
        if part in PARTS and not has_part(network, part):
            continue  # a baseline without a glance has nothing of it to freeze
        if name.removesuffix(".") not in modules:
            raise ValueError(f"frozen names {name!r}, but the network has no such part; see those of --show-plan")
    started = {start.part for start in starts}
    for part in training_of(network).family.loaders:
        if not has_part(network, part) or started & {part, "all"}:
            continue
        learns = any(part in stage.trains for stage in recipe.stages)
        if not learns or recipe.frozen_batch_norm or any(name.split(".")[0] == part for name in recipe.frozen):
            raise ValueError(
                f"the plan leaves {'layers of ' if learns else ''}the {part} network as built, and the weights are "
                f"random: start it from a trained bundle (--bundle) or ImageNet weights (--{part}-weights), or take a "
                "plan that trains all of it"
            )


def _settled(out: Path, run: Run, team: Team) -> Run:
    """The run as OUT has it: written now, by the first of the team, or there already and the same."""
    if team.decided(not (out / RUN).exists()):
        if team.is_first:
            out.mkdir(parents=True, exist_ok=True)
            write_run(out, run)
        team.wait()
    there = read_run(out)
    if differences := there.differences(run):
        shown = "\n".join(f"  {line}" for line in differences[:10])
        more = f"\n  and {len(differences) - 10} more" if len(differences) > 10 else ""
        raise ValueError(
            f"{out} holds a run of another configuration, which cannot go on with this one (there, and asked for):\n"
            f"{shown}{more}\nAsk for the same, or train into another folder"
        )
    return there


def _data_used(path: Path, train: Dataset, learning: Dataset, held_out: Dataset) -> DataUsed:
    listing = sorted(
        (relative(sample.path, path), train.labels[sample.label], sample.subject, sample.source)
        for sample in train.samples
    )
    return DataUsed(
        path=str(path.resolve()),
        fingerprint=hashlib.sha256(repr(listing).encode()).hexdigest(),
        training_files=tuple(sorted(relative(sample.path, path) for sample in learning.samples)),
        held_out_files=tuple(sorted(relative(sample.path, path) for sample in held_out.samples)),
        held_out_subjects=tuple(sorted({sample.subject for sample in held_out.samples if sample.subject})),
    )
