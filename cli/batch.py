"""`fovea batch`: a table with a row for each of many videos. `cli.main` takes the command from here.

Models, Arrow and Ray are imported inside the command, so that `fovea --help` is quick.
"""

import signal
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli import shared_options as shared

if TYPE_CHECKING:
    from fovea import RecognitionOptions
    from service.batch.journal import Counts, Listed

stderr = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)  # square brackets in names are names
TOLD_EVERY_S = 60.0  # how far it is, where no terminal shows a bar


class EngineName(StrEnum):
    EMBEDDED = "embedded"
    RAY = "ray"


class Precision(StrEnum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


def batch(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Folders, files, patterns ('videos/**/*.mp4'), lists (.csv, .jsonl), s3://bucket/prefix.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The result: .parquet, .jsonl or .csv. A run that was killed goes on.")],
    engine: Annotated[EngineName, typer.Option(help="This machine's cores, or a Ray cluster.")] = EngineName.EMBEDDED,
    model: shared.Model = "auto",
    task: shared.Task = None,
    budget_gflops: shared.Budget = None,
    max_gflops: shared.Ceiling = None,
    top_k: shared.TopK = 5,
    min_score: shared.MinScore = None,
    abstain: shared.Abstain = None,
    label: shared.Labels = None,
    precision: Annotated[Precision | None, typer.Option(help="Instead of FOVEA_PRECISION.")] = None,
) -> None:
    """Recognise all videos of an archive into a table. Killed at any time, the same command goes on where it was."""
    from fovea._calls import JSON, recognition
    from service.batch.embedded import answer_here
    from service.batch.run import run_batch
    from service.batch.terms import Terms

    options = {
        "model": model,
        "task": task,
        "budget_gflops": budget_gflops,
        "max_gflops": max_gflops,
        "top_k": top_k,
        "min_score": min_score,
        "abstain": abstain,
        "labels": label or None,
    }
    given = cast("RecognitionOptions", {name: value for name, value in options.items() if value is not None})
    said = recognition(b"", given, accept=JSON).query  # as a client would send them
    terms = Terms(tuple(said.items()), None if precision is None else precision.value)
    answer = answer_here
    if engine is EngineName.RAY:
        from service.batch.ray_engine import answer_on_ray, check_ray

        check_ray()
        answer = answer_on_ray
    stop = _Stop()
    with _Told() as told:
        ended = run_batch(sources, out, terms, answer, told, stop)
    num_failed, total = ended.counts.failed, ended.counts.answered + ended.counts.failed
    if not ended.complete:
        stderr.print(f"stopped after {total} videos; the same command goes on from {out}.journal")
        raise typer.Exit(3)
    stderr.print(f"wrote {out}: {total} rows")
    if num_failed:
        stderr.print(f"{num_failed} of {total} videos could not be recognised", style="red")
        raise typer.Exit(1)


class _Stop:
    """True after SIGTERM or Ctrl-C: videos that are begun are finished. A second one does not wait."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        return self._asked

    def _ask(self, number: int, frame: Any) -> None:
        self._asked = True
        signal.signal(number, signal.SIG_DFL)


class _Told:
    """A bar on a terminal, else a line a minute; a line for each video that has no answer."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("recognising"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]} failed"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=stderr,
            disable=not stderr.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("recognising", total=None, failed=0)
        self._failed = self._done = self._total = 0
        self._told_s = time.monotonic()

    def __enter__(self) -> "_Told":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def listed(self, listed: "Listed", before: "Counts") -> None:
        self._total, self._failed = listed.inputs, before.failed
        self._done = before.answered + before.failed
        again = f", {listed.repeated} named more than once" if listed.repeated else ""
        again += f", {listed.changed} changed since they were done" if listed.changed else ""
        going_on = f", {self._done} of them done before" if self._done else ""
        stderr.print(f"{listed.inputs} videos{again}{going_on}")
        self._bar.update(self._task, total=self._total, completed=self._done, failed=self._failed)

    def row(self, source: str, problem: str | None) -> None:
        self._done += 1
        if problem is not None:
            self._failed += 1
            stderr.print(f"{source}: {problem}", style="red")
        self._bar.update(self._task, advance=1, failed=self._failed)
        if not stderr.is_terminal and time.monotonic() - self._told_s >= TOLD_EVERY_S:
            self._told_s = time.monotonic()
            stderr.print(f"{self._done} of {self._total} videos, {self._failed} failed")
