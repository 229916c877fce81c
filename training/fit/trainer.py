"""The one loop: batch, loss, step; every epoch a look at the held-out videos; every few minutes a checkpoint.

Knows no video file: batches come from whoever makes them, as a function of their number alone.

A step's random numbers (dropout, random cubes) are seeded from (recipe's seed, batch number), and its learning rate
follows from its number: so a run that was killed anywhere goes on exactly where it would have gone without. Bitwise on
one CPU with one number of threads. Of a step's batches each process of a team takes its share, so that a run may also
go on with another number of processes: what it says follows from its recipe alone.

Shape suffixes: B clips, T frames, H rows, W columns, C classes or colour channels, E exits.
"""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import safetensors.torch
import torch
from torch import Tensor, nn

from training.families import training_of
from training.fit.apart import Halves, HeadsApart, teaches_apart
from training.fit.averaging import WeightAverage
from training.fit.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, save_weights
from training.fit.epoch_log import EpochSums, joined_sums, write_metrics
from training.fit.feature_cache import FeatureCache
from training.fit.heads import fit_heads
from training.fit.held_out import Score, score
from training.fit.optimizers import learning_rate, make_optimizer, set_learning_rate
from training.fit.precision import set_modes
from training.fit.recipe import Recipe
from training.fit.run import BEST, DONE, LAST, METRICS
from training.fit.team import ALONE, BatchLoss, Team, statistics_of

BatchesFrom: TypeAlias = Callable[[int], Generator[tuple[Tensor, Tensor], None, None]]
"""From a number on, without end: (clips_BTHWC uint8, targets_BC). Batch n is the same whenever it is asked for."""

SETTLED_EVERY = 32
"""Batches after which the losses on an accelerator are looked at: each look waits for the device."""

HeldOut: TypeAlias = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Called once an evaluation: (clips_BTHWC uint8, labels_B) of the videos that nobody trains on."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """Where the run stands after an optimiser step."""

    stage: int
    num_stages: int
    epoch: int
    num_epochs: int
    step: int
    steps_per_epoch: int
    loss: float
    exits_E: tuple[float, ...]
    total_steps: int
    lr: float
    clips_per_s: float


class Report(Protocol):
    def step(self, report: StepReport) -> None: ...

    def epoch(self, row: dict[str, Any]) -> None: ...


@dataclass(slots=True)
class Trainer:
    """A run in memory. `network` was prepared (`precision.prepare`) and holds its initial weights.

    Raises FloatingPointError when a loss is not finite; what was saved before stays.
    """

    network: nn.Module
    recipe: Recipe
    batches_from: BatchesFrom
    held_out: HeldOut | None
    """None: nothing is scored, which only a recipe with folds allows."""
    steps_per_epoch: int
    out: Path
    plain: HeldOut | None = None
    """The videos to learn from, as inference sees them: what fitted heads are fitted to."""
    halves: Halves | None = None
    """The same in two halves, of which even and odd batches are; None: the heads that teach have seen every clip."""
    features: Path | None = None
    """Where what fitted heads are given is kept, for networks that give the same again."""
    report: Report | None = None
    checkpoint_every_s: float = 300.0
    team: Team = ALONE
    """Who trains this network together: batches are numbered for all, and each process takes every n-th."""
    _ended: bool = False
    _stage: int = 0
    _epoch: int = 0
    _step: int = 0
    _total_steps: int = 0
    _best: Score | None = None
    _best_epoch: int = 0
    _sums: EpochSums = field(default_factory=EpochSums)
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _optimizer: torch.optim.Optimizer | None = None
    _average: WeightAverage | None = None
    _apart: HeadsApart | None = None
    _loss: Any = None
    _unsettled: list[tuple[int, float, Tensor, Tensor]] = field(default_factory=list)
    """Batches whose losses are still on the device: number, learning rate, total, exits_E."""

    def train(self, *, stop: Callable[[], bool] = lambda: False) -> bool:
        """Go on from OUT/last.ckpt, or begin. True at the end of the run; False where `stop()` said so, all saved."""
        self._check_team()
        is_done, goes_on = self.team.decided(((self.out / DONE).exists(), (self.out / LAST).exists()))
        if is_done:
            return True
        with torch.random.fork_rng(devices=[]):
            if goes_on:
                if not self._resume():
                    self._touch_done()
                    return True
            else:
                self._fit_heads()
                if not self.recipe.stages:  # the heads are all there is to find
                    self._touch_done()
                    return True
                self._begin_stage(0)
            first = self._total_steps * self.recipe.accumulation + self.team.rank
            with contextlib.closing(self.batches_from(first)) as batches:
                return self._loop(batches, stop)

    def _check_team(self) -> None:
        if self.recipe.accumulation % self.team.size:
            raise ValueError(
                f"{self.team.size} processes cannot share the {self.recipe.accumulation} batches of a step alike: make "
                f"recipe.accumulation a multiple of {self.team.size}, and recipe.batch_size smaller if you like "
                f"(--set recipe.accumulation={self.team.size})"
            )

    def _touch_done(self) -> None:
        self.team.wait()
        if self.team.is_first:
            (self.out / DONE).touch()

    def _keep_best(self) -> None:
        """The first one writes; nobody goes on before it is there."""
        if self.team.is_first:
            save_weights(self.out / BEST, self.network.state_dict())
        self.team.wait()

    def _fit_heads(self) -> None:
        """Before the first step. ValueError where there are no plain clips to fit them to."""
        if self.recipe.fitted_heads:
            self._fitted(cache=self._feature_cache())
            self.team.same(self.network)
            self._keep_best()

    def _fitted(self, *, learned: bool = False, cache: FeatureCache | None = None) -> None:
        fit_heads(
            self.network,
            self._plain_clips(),
            _seeded(self.recipe.seed, 0),
            learned=learned,
            cache=cache,
            fit=self.recipe.head_fit,
            num_forms=self.recipe.num_forms,
        )

    def _feature_cache(self) -> FeatureCache | None:
        if self.features is None or not training_of(self.network).repeatable(self.network):
            return None
        return FeatureCache(self.features, self.network, self.recipe.precision)

    def _plain_clips(self) -> Iterable[tuple[Tensor, Tensor]]:
        if self.plain is None:
            raise ValueError("fitted_heads needs the training clips as they are; give the trainer `plain`")
        return self.plain()

    def _loop(self, batches: Iterator[tuple[Tensor, Tensor]], stop: Callable[[], bool]) -> bool:
        saved_at_s = time.monotonic()
        while True:
            if self._step == self.steps_per_epoch:
                goes_on = self._end_epoch()
                self._save()
                if not goes_on:
                    self._touch_done()
                    return True
                saved_at_s = time.monotonic()
            is_time = time.monotonic() - saved_at_s >= self.checkpoint_every_s
            is_end, is_time = self.team.decided((stop(), is_time))
            if is_end or is_time:
                self._save()
                saved_at_s = time.monotonic()
            if is_end:
                return False
            self._one_step(batches)

    def _one_step(self, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
        recipe, stage = self.recipe, self.recipe.stages[self._stage]
        assert self._optimizer is not None
        began_s = time.monotonic()
        in_stage = self._epoch * self.steps_per_epoch + self._step
        lr = learning_rate(recipe, stage, in_stage, self.steps_per_epoch)
        set_learning_rate(self._optimizer, lr)
        self._optimizer.zero_grad(set_to_none=True)
        num_clips = 0
        assert self._loss is not None
        own = recipe.accumulation // self.team.size
        statistics = statistics_of(self.network) if self.team.size > 1 else []
        for part in range(own):
            number = self._total_steps * recipe.accumulation + part * self.team.size + self.team.rank
            clips_BTHWC, targets_BC = (tensor.to(self._device, non_blocking=True) for tensor in next(batches))
            how: dict[str, Any] = {"recipe": recipe, "crops": stage.crops, "step": self._total_steps}
            how["generator"] = _seeded(recipe.seed, number)
            unshared = self._loss.no_sync() if self.team.size > 1 and part + 1 < own else contextlib.nullcontext()
            apart = self._apart.for_batch(number) if self._apart else contextlib.nullcontext()
            with apart, unshared:
                total, exits_E = self._loss(clips_BTHWC, targets_BC, how)
                # the team's gradients are averaged, and this is a share of the step's batches
                (total * (self.team.size / recipe.accumulation)).backward()
            num_clips += len(clips_BTHWC)
            self._unsettled.append((number, lr, total.detach(), exits_E.detach()))
            if self._device.type == "cpu" or len(self._unsettled) >= SETTLED_EVERY:
                self._settle()
        if recipe.max_gradient_norm is not None:
            learning = [p for group in self._optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(learning, recipe.max_gradient_norm)
        self._optimizer.step()
        self.team.join_statistics(self.network, statistics)
        if self._average is not None:
            self._average.update(self.network, in_stage)
        self._step += 1
        self._total_steps += 1
        self._sums.clips += num_clips
        self._sums.seconds += time.monotonic() - began_s
        if self.report is not None:
            self.report.step(self._step_report(lr))

    def _settle(self) -> None:
        """Look at the losses that are still on the device: one wait for many batches. Raises FloatingPointError."""
        for number, lr, total, exits_E in self._unsettled:
            if not math.isfinite(value := total.item()):
                raise FloatingPointError(
                    f"the loss of batch {number} is {value}; lower the learning rate ({lr:g}) or train in fp32"
                )
            self._sums.add(value, exits_E.tolist())
        self._unsettled.clear()

    def _gather_sums(self) -> None:
        """The team's, with the first one; the others begin anew."""
        self._settle()
        everybody = [EpochSums(**values) for values in self.team.all_of(self._sums.to_dict())]
        self._sums = joined_sums(everybody) if self.team.is_first else EpochSums()

    def _end_epoch(self) -> bool:
        """Score where it is time, keep the best (with folds, the stage's last); False at the end of the run."""
        recipe, stage = self.recipe, self.recipe.stages[self._stage]
        self._gather_sums()
        self._epoch += 1
        self._step = 0
        row: dict[str, Any] = {"stage": self._stage, "epoch": self._epoch, "steps": self._total_steps}
        row |= self.team.decided(self._sums.means())
        row["lr"] = self._optimizer.param_groups[0]["lr"] / self._optimizer.param_groups[0]["rate"]  # type: ignore[union-attr]
        self._sums = EpochSums()
        last = self._epoch == stage.epochs
        no_better = False
        if last or self._epoch % recipe.evaluate_every_epochs == 0:
            with self._average.in_place_of(self.network) if self._average else contextlib.nullcontext():
                row |= self._look(is_last=last)
            set_modes(self.network, stage, recipe)
            patience = recipe.patience_epochs
            no_better = patience is not None and self._epoch - self._best_epoch >= patience
        self._log(row)
        if last or no_better:
            if self._stage + 1 == len(recipe.stages):
                self._ended = True
                return False
            self._begin_stage(self._stage + 1)
        return True

    def _log(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if self.team.is_first:
            write_metrics(self.out / METRICS, self._rows)
        if self.report is not None:
            self.report.epoch(row)

    def _look(self, *, is_last: bool) -> dict[str, float]:
        """Score the network, as far as there is something to score it on, and keep it if it is worth it.

        Fitted heads that no stage trains follow the policy first: they are fitted to where it now looks.
        """
        stage = self.recipe.stages[self._stage]
        if self.recipe.fitted_heads and "policy" in stage.trains and "classifier" not in stage.trains:
            self._fitted(learned=True)
            self.team.same(self.network)
        found = None if self.held_out is None else self._score(self.held_out)
        if self.recipe.folds:
            worth_it = is_last
        else:
            assert found is not None, "without folds something is held out"
            worth_it = self._best is None or found.better_than(self._best)
        if worth_it:
            self._best, self._best_epoch = found, self._epoch
            self._keep_best()
        return {} if found is None else found.columns()

    def _score(self, held_out: HeldOut) -> Score:
        stage = self.recipe.stages[self._stage]
        return score(self.network, held_out(), stage.crops, self.recipe.seed, self._device, self.team)

    def _begin_stage(self, number: int) -> None:
        """A later stage goes on from the best weights of the one before, with a fresh optimiser.

        They, or fitted heads, are what is to be beaten: unless there are folds, a stage that only does harm leaves no
        trace.
        """
        self._stage, self._epoch, self._step = number, 0, 0
        self._best, self._best_epoch = None, 0
        if begun := number > 0 or self.recipe.fitted_heads:
            self.network.load_state_dict(safetensors.torch.load_file(self.out / BEST))
        if begun and self.held_out is not None:
            self._best = self._score(self.held_out)
            self._log({"stage": number, "epoch": 0, "steps": self._total_steps} | self._best.columns())
        self._optimizer = self._fresh_optimizer()
        self._average = self._fresh_average()

    def _fresh_average(self) -> WeightAverage | None:
        decay = self.recipe.average_decay
        return WeightAverage(self.network, decay) if decay else None

    def _fresh_optimizer(self) -> torch.optim.Optimizer:
        stage = self.recipe.stages[self._stage]
        self._apart = None
        if self.halves is not None and teaches_apart(self.recipe, stage):  # also where a run goes on: they follow
            self._apart = HeadsApart(self.network, self.halves, lambda: _seeded(self.recipe.seed, 0), self.recipe)
        set_modes(self.network, stage, self.recipe)
        self._loss = self.team.together(BatchLoss(self.network))  # which also hands the first one's weights to all
        return make_optimizer(self.network, self.recipe, stage)

    def _save(self) -> None:
        assert self._optimizer is not None
        self._gather_sums()
        if not self.team.is_first:
            return
        checkpoint = Checkpoint(
            ended=self._ended,
            stage=self._stage,
            epoch=self._epoch,
            step=self._step,
            total_steps=self._total_steps,
            best_score=None if self._best is None else (self._best.accuracy, self._best.loss),
            best_epoch=self._best_epoch,
            sums=self._sums.to_dict(),
            rows=self._rows,
            network=self.network.state_dict(),
            optimizer=self._optimizer.state_dict(),
            average=self._average.tensors if self._average else None,
        )
        save_checkpoint(self.out / LAST, checkpoint)

    def _resume(self) -> bool:
        """False where the run had come to its end."""
        checkpoint = load_checkpoint(self.out / LAST)
        self.network.load_state_dict(checkpoint.network)
        self._stage, self._epoch, self._step = checkpoint.stage, checkpoint.epoch, checkpoint.step
        self._total_steps = checkpoint.total_steps
        self._best = None if checkpoint.best_score is None else Score((), *checkpoint.best_score)
        self._best_epoch = checkpoint.best_epoch
        self._sums = EpochSums(**checkpoint.sums) if self.team.is_first else EpochSums()
        self._rows = checkpoint.rows
        self._optimizer = self._fresh_optimizer()
        self._optimizer.load_state_dict(checkpoint.optimizer)
        self._average = self._fresh_average()
        if self._average is not None and checkpoint.average is not None:
            self._average.tensors = checkpoint.average
        return not checkpoint.ended

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _step_report(self, lr: float) -> StepReport:
        means, stage = self._sums.means(), self.recipe.stages[self._stage]
        return StepReport(
            stage=self._stage,
            num_stages=len(self.recipe.stages),
            epoch=self._epoch,
            num_epochs=stage.epochs,
            step=self._step,
            steps_per_epoch=self.steps_per_epoch,
            loss=means["loss"],
            exits_E=tuple(value for name, value in means.items() if name.startswith("loss_exit_")),
            total_steps=self._total_steps,
            lr=lr,
            clips_per_s=means["clips_per_s"],
        )


def _seeded(seed: int, number: int) -> torch.Generator:
    """Seeds dropout (torch's own generators) and returns one for random cubes; the same for the same batch."""
    mixed = (seed * 1_000_003 + number) * 2
    torch.manual_seed(mixed)
    return torch.Generator().manual_seed(mixed + 1)
