"""What an open-set score is worth on videos that it was not fitted on: one file, and its section of the results page.

Knows no model: numbers in, numbers and Markdown out.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.judge.open_set import auroc

OPEN_SET_RESULT = "open_set.json"
_HEAD = (
    "| footage of none of the classes | clips | AUROC | no label, % | median in_domain |",
    "|---|---|---|---|---|",
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class OutsideRow(_Strict):
    """Clips of one kind that show none of the classes."""

    name: str
    videos: int
    auroc: float
    """How often a clip of the classes gets a higher in_domain than one of these."""
    abstained: float
    median_in_domain: float


class OpenSetResult(_Strict):
    model: str
    digest: str
    fitted_on: str
    data: str
    """The in-domain clips: those of the evaluated split."""
    videos: int
    threshold: float
    kept: float
    """Share of the in-domain clips that get a label."""
    median_in_domain: float
    outside: tuple[OutsideRow, ...] = Field(min_length=1)


def outside_rows(
    in_domain_N: NDArray[np.float64], outside: Mapping[str, NDArray[np.float64]], threshold: float
) -> tuple[OutsideRow, ...]:
    """One a kind, by its name."""
    return tuple(
        OutsideRow(
            name=name,
            videos=len(values_M),
            auroc=auroc(in_domain_N, values_M),
            abstained=float((values_M < threshold).mean()),
            median_in_domain=float(np.median(values_M)),
        )
        for name, values_M in outside.items()
        if len(values_M)
    )


def write_open_set_result(folder: Path, result: OpenSetResult) -> Path:
    """Write `folder`/open_set.json, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{OPEN_SET_RESULT}.unfinished"
    scratch.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    os.replace(scratch, folder / OPEN_SET_RESULT)
    return folder / OPEN_SET_RESULT


def read_open_set_result(path: Path) -> OpenSetResult:
    """Raises ValueError for a file that is none."""
    try:
        return OpenSetResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ValueError(
            f"{path} is no result of an open-set score; `fovea evaluate --negatives` writes one"
        ) from error


def open_set_section(results: Sequence[OpenSetResult]) -> str:
    """Markdown, without the heading."""
    if not results:
        return "Nothing was measured: `fovea evaluate BUNDLE DATA --negatives FOLDER` does.\n"
    parts = [
        "How often a clip of the evaluated split gets a higher `in_domain` than footage of none of the classes "
        "(AUROC), and how often such footage gets no label at the bundle's threshold. Real footage: the files that the "
        "score was not fitted on, of collections that it was fitted on. Synthetic footage: of generators that it was "
        "not fitted on. Footage of a kind that was not among the negatives is told less well. The "
        "[cards](models/index.md) tell the AUROC of in-domain clips out of fold."
    ]
    for result in results:
        rows = [
            f"| {row.name} | {row.videos} | {row.auroc:.4f} | {100 * row.abstained:.0f} | {row.median_in_domain:.3f} |"
            for row in result.outside
        ]
        parts.append(
            f"**{result.model}**: {result.videos} clips of {result.data}, of which {100 * result.kept:.1f} % get a "
            f"label at the threshold {result.threshold:.3f} (median in_domain {result.median_in_domain:.3f}). Fitted "
            f"on {result.fitted_on}.\n\n" + "\n".join([*_HEAD, *rows])
        )
    return "\n\n".join(parts) + "\n"
