"""A run from its sources to its result: list, answer what has no row yet, write. Knows no model and no terminal.

OUT.journal              what the run knows, while it is not done (`journal`); the same command goes on from it
OUT                      the result, once there is a row for every input
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from fovea.errors import InvalidRequest
from service.batch.inputs import Input, find_inputs
from service.batch.journal import Counts, Journal, Listed
from service.batch.terms import Terms
from service.batch.writing import ResultError, check_result, write_result

Keep: TypeAlias = Callable[[int, Input, dict[str, Any], bool], None]
"""An input's number, the input, its row without `source`, and whether that is an answer."""

Engine: TypeAlias = Callable[[Terms, Iterator[tuple[int, Input]], Keep, Callable[[], bool]], None]
"""Answers all that is pending, in any order, and hands each row to `keep` in the caller's thread; ends early, without
an error, where the last argument says so."""


class Report(Protocol):
    """Who is told how far a run is."""

    def listed(self, listed: Listed, before: Counts) -> None: ...

    def row(self, source: str, problem: str | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Ended:
    counts: Counts
    complete: bool  # False: it was stopped, and the same command goes on


def run_batch(
    sources: Sequence[str],
    out: Path,
    terms: Terms,
    engine: Engine,
    report: Report,
    stop: Callable[[], bool] = lambda: False,
) -> Ended:
    """Begin, or go on. Raises ValueError and FoveaError with a sentence; what was answered before stays answered."""
    check_result(out)
    path = out.with_name(f"{out.name}.journal")
    if out.exists() and not path.exists():
        raise ResultError(f"{out} is there already, and its run has ended; remove it, or name another file")
    with closing(Journal(path, terms.in_force())) as journal:
        try:
            listed = journal.list_inputs(find_inputs(sources))
        except ValueError:
            if not journal.num_inputs():
                journal.remove()
            raise
        before = journal.counts()
        report.listed(listed, before)

        def keep(number: int, one: Input, row: dict[str, Any], answered: bool) -> None:
            journal.keep(number, row, answered=answered)
            report.row(one.source, None if answered else row["problem"]["detail"])

        try:
            engine(terms, journal.pending(), keep, stop)
        except InvalidRequest:  # the options cannot be: nothing has begun
            if before == Counts(0, 0):
                journal.remove()
            raise
        counts = journal.counts()
        if counts.answered + counts.failed < listed.inputs:
            return Ended(counts, complete=False)
        write_result(out, journal.rows())
        journal.remove()
    return Ended(counts, complete=True)
