"""`fovea train`: what a user types to make weights. `cli.main` takes the commands from here.

Torch is imported inside the commands, so that `fovea --help` is quick.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from training.fit.preparing import TrainRequest
    from training.fit.team import Team
    from training.fit.trainer import Report

commands = typer.Typer(add_completion=False)
stderr = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)  # square brackets in names are names

CACHE = Path("~/.cache/fovea")
SHIPPED_START = "adafocus-v3-compact"
STARTED_FROM_SHIPPED = ("compact", "light")


@commands.command()
def train(
    data: Annotated[Path, typer.Argument(help="A folder per class (in train/, if you like), or a CSV path,label,...")],
    out: Annotated[Path, typer.Option(help="The run's folder; a run that stands there goes on.")],
    plan: Annotated[
        str, typer.Option(help="compact, light, frame-cubes, clip-cubes, vmf-compact, paper-*, or JSON.")
    ] = "compact",
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Train its full-frame baseline: whole-frames[-alone]; of learned cubes tsn, tsm, tsn+, tsm+."
        ),
    ] = None,
    glance_weights: Annotated[
        Path | None, typer.Option(help="Weights to start with (.safetensors, .pth, .pt): ImageNet's, a TSM's, ...")
    ] = None,
    focus_weights: Annotated[Path | None, typer.Option(help="The same for the focus network.")] = None,
    pose_weights: Annotated[Path | None, typer.Option(help="MoveNet's pyramid and heads, for key points.")] = None,
    motion_weights: Annotated[Path | None, typer.Option(help="Image weights of what sees motion.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Start from this bundle's weights; compact and light: from the one that ships.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the plan's.")] = None,
    flip: Annotated[
        list[str] | None, typer.Option(help='Labels that a mirror image keeps, such as "walk_*"; repeatable.')
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores unless told.", min=1)] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    cache: Annotated[Path, typer.Option(help="Where decoded frames are kept.")] = CACHE,
    max_minutes: Annotated[float | None, typer.Option(help="Save and stop then; the same command goes on.")] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An entry of the plan, recipe.batch_size=4; repeatable."),
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write OUT/tensorboard, too.")] = False,
    show_plan: Annotated[bool, typer.Option("--show-plan", help="Print the plan as JSON and stop.")] = False,
) -> None:
    """Train on your own videos. Killed at any time, the same command goes on where it was."""
    import torch

    from models import available_models
    from training.data.dataset import read_dataset
    from training.fit.folds import fold_folder, scores_over_folds
    from training.fit.plans import find_plan
    from training.fit.preparing import TrainRequest, num_folds
    from training.fit.team import joined, own_device
    from training.fit.tensorboard import check_tensorboard

    if show_plan:
        shown = find_plan(plan, read_dataset(data).num_classes, override or ())
        typer.echo(json.dumps(shown.to_dict(), indent=1))
        return
    if tensorboard:
        check_tensorboard()
    given = {"glance": glance_weights, "focus": focus_weights, "pose": pose_weights, "motion": motion_weights}
    if plan in STARTED_FROM_SHIPPED and not (bundle or any(given.values())):
        bundle = available_models().get(SHIPPED_START)
    request = TrainRequest(
        data=data,
        out=out,
        plan=plan,
        cache=cache,
        baseline=baseline,
        weights={part: file for part, file in given.items() if file is not None},
        bundle=bundle,
        seed=seed,
        flip=tuple(flip or ()),
        device=own_device(device),
        overrides=tuple(override or ()),
    )
    stop = _Stop(max_minutes)
    folds = [fold_folder(out, fold) for fold in range(num_folds(request))]
    with joined(request.device) as team:
        stderr.quiet = not team.is_first
        torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // team.local_size))
        for fold, folder in enumerate(folds):
            stderr.print(f"fold {fold + 1} of {len(folds)}:")
            _train_one(replace(request, out=folder, fold=fold), team, stop, again=fold > 0, tensorboard=tensorboard)
        for score in scores_over_folds(folds) if folds and team.is_first else ():
            stderr.print(
                f"all folds, stage {score.stage + 1} epoch {score.epoch:3d}: accuracy {score.accuracy:.3f}, "
                f"loss {score.loss:.3f}"
            )
        _train_one(request, team, stop, again=bool(folds), tensorboard=tensorboard)
    stderr.print(f"trained: {out}/best.safetensors; `fovea calibrate {out}` makes a bundle of it")


def _train_one(
    request: "TrainRequest", team: "Team", stop: Callable[[], bool], *, again: bool, tensorboard: bool
) -> None:
    """One network; `again`: on data that another was trained on just now. Exits with 3 where `stop()` said so."""
    from training.data.dataset import describe
    from training.fit.checkpoint import only_one
    from training.fit.preparing import make_ready
    from training.fit.progress import LiveProgress, Reports
    from training.fit.tensorboard import TensorBoard

    ready = make_ready(request, team=team, report=_decoding)
    if (unreadable := ready.held_out.unreadable) and not again:
        told = f"{len(unreadable)} videos cannot be read and are left out:\n{describe(unreadable)}"
        stderr.print(told, style="yellow")
    run = ready.run
    stderr.print(
        f"{run.data.num_training} videos to learn from, {len(run.data.held_out_files)} held out, "
        f"{len(run.labels)} classes; {ready.steps_per_epoch} steps an epoch"
    )
    if run.recipe.heads_apart and run.recipe.stages and ready.halves is None and not again:
        stderr.print(
            "too few groups for two halves with every class in both: the heads that teach the policy have seen its "
            "videos, and it may learn little; give every class videos of two groups (`subject`) or more",
            style="yellow",
        )
    num_epochs = sum(stage.epochs for stage in run.recipe.stages)
    with ExitStack() as held:
        if team.is_first:
            held.enter_context(only_one(request.out))
        reports: list[Report] = [held.enter_context(LiveProgress(stderr, num_epochs * ready.steps_per_epoch))]
        if tensorboard and team.is_first:
            reports.append(held.enter_context(TensorBoard(request.out)))
        try:
            finished = ready.trainer(request.out, Reports(tuple(reports))).train(stop=stop)
        except FloatingPointError as error:
            raise ValueError(f"{error}; what {request.out} holds stays as it is") from error
    if not finished:
        stderr.print(f"stopped; the same command goes on from {request.out}/last.ckpt")
        raise typer.Exit(3)


@commands.command()
def build(
    variant: Annotated[str, typer.Argument(help="Such as adafocus-v3-paper-frame-cubes; a wrong name lists them all.")],
    out: Annotated[Path, typer.Option(help="The folder of bundles to build it in, as VARIANT-untrained.")] = (
        Path("var/bundles")
    ),
    seed: Annotated[int, typer.Option(help="Of the weights.", min=0)] = 0,
) -> None:
    """Build any model without training it, to measure its speed: its answers mean nothing, and it says so."""
    from training.untrained import build_variant

    bundle, built = build_variant(variant, out, seed=seed)
    stderr.print(
        f"{'built' if built else 'kept'} {bundle.folder}: {sum(bundle.step_flops) / 1e9:.4g} GFLOPs at most, "
        "UNTRAINED: its answers mean nothing",
        style="yellow",
    )


class _Stop:
    """True once the time is up, or after SIGTERM or Ctrl-C: the step is finished and all is saved."""

    def __init__(self, max_minutes: float | None) -> None:
        self._until_s = None if max_minutes is None else time.monotonic() + 60 * max_minutes
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        return self._asked or (self._until_s is not None and time.monotonic() >= self._until_s)

    def _ask(self, number: int, frame: Any) -> None:
        self._asked = True
        signal.signal(number, signal.SIG_DFL)  # a second one does not wait


def _decoding(done: int, total: int) -> None:
    if stderr.is_terminal:
        stderr.print(f"decoded {done} of {total}", end="\r" if done < total else "\n")
