"""A live line on a terminal, or a plain line an epoch where nobody watches: where a run stands, and its key figures.

Knows no network.
"""

import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from training.fit.trainer import Report, StepReport


@dataclass(frozen=True, slots=True)
class Reports:
    """Several reports as one."""

    each: tuple[Report, ...]

    def step(self, report: StepReport) -> None:
        for one in self.each:
            one.step(report)

    def epoch(self, row: dict[str, Any]) -> None:
        for one in self.each:
            one.epoch(row)


class LiveProgress:
    """A `trainer.Report`. Use as a context. `total_steps` is the run's where no stage stops early, for the ETA."""

    def __init__(self, console: Console, total_steps: int) -> None:
        self._console = console
        self._total_steps = total_steps
        self._began_s: float | None = None
        self._first_step = 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "LiveProgress":
        self._bar.start()
        self._task = self._bar.add_task("starting", total=self._total_steps, figures="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, report: StepReport) -> None:
        assert self._task is not None, "used outside its context"
        now_s = time.monotonic()
        if self._began_s is None:
            self._began_s, self._first_step = now_s, report.total_steps
        taken = report.total_steps - self._first_step
        left_s = (self._total_steps - report.total_steps) * (now_s - self._began_s) / taken if taken else None
        exits = " ".join(f"{loss:.2f}" for loss in report.exits_E)
        self._bar.update(
            self._task,
            completed=report.total_steps,
            description=f"stage {report.stage + 1}/{report.num_stages} epoch {report.epoch + 1}/{report.num_epochs} "
            f"step {report.step}/{report.steps_per_epoch}",
            figures=f"loss {report.loss:.3f} (exits {exits})  lr {report.lr:.2g}  {report.clips_per_s:.2f} clips/s  "
            f"ETA {_duration(left_s)}",
        )

    def epoch(self, row: dict[str, Any]) -> None:
        held_out = ""
        if "held_out_accuracy" in row:
            exits = [value for name, value in row.items() if name.startswith("held_out_accuracy_exit_")]
            held_out = f"  held out: loss {row['held_out_loss']:.3f}, accuracy {' '.join(f'{a:.3f}' for a in exits)}"
        learning = "as it begins"
        if row["epoch"]:
            learning = f"loss {row['loss']:.3f}  lr {row['lr']:.2g}  {row['clips_per_s']:.2f} clips/s"
        self._console.print(
            f"stage {row['stage'] + 1} epoch {row['epoch']:3d}  {learning}{held_out}",
            highlight=False,
            soft_wrap=True,
        )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
