"""What a model answers at every exit for every video of a set, with prices: all that an evaluation needs, in one file.

Knows no network and no video; `training.judge.observe` makes one. A full-frame baseline is the same with one exit.

Shape suffixes: N videos, K steps (step 0: the glance or a part of it), C classes.
"""

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.thresholds import entropy_nats, log_softmax

FORMAT = 1
_NAMES_IN_FILES = {"step_flops_K": "costs_K"}  # observations outlive names in the code


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """`log_probs_NKC` float32, before any temperature. All other arrays are in the order of its rows.

    Raises ValueError when the parts do not fit each other.
    """

    model: str
    """What answered: a bundle's name, or a baseline's."""
    digest: str
    """Which weights, as far as known; may be empty."""
    split: str
    classes_C: tuple[str, ...]
    paths_N: tuple[str, ...]
    """Relative to the data, so that two observations of one set can be told to be that."""
    labels_N: NDArray[np.int64]
    groups_N: tuple[str, ...]
    sources_N: tuple[str, ...]
    log_probs_NKC: NDArray[np.float32]
    step_flops_K: tuple[int, ...]
    """Multiply-adds of step k alone."""
    seconds_K: tuple[float, ...]
    """Wall-clock of step k alone, one video at a time; NaN where it was not measured."""
    executor: str
    """Runtime, precision and threads: what the seconds belong to."""
    num_deals: int = 1
    """Of the folds: every video has a row in each, answered by that deal's network. Rows lie deal by deal."""

    def __post_init__(self) -> None:
        num_rows, num_steps, num_classes = self.log_probs_NKC.shape
        lengths = {
            "paths": (len(self.paths_N), num_rows),
            "labels": (len(self.labels_N), num_rows),
            "groups": (len(self.groups_N), num_rows),
            "sources": (len(self.sources_N), num_rows),
            "costs": (len(self.step_flops_K), num_steps),
            "seconds": (len(self.seconds_K), num_steps),
            "classes": (len(self.classes_C), num_classes),
        }
        for name, (found, wanted) in lengths.items():
            if found != wanted:
                raise ValueError(f"{found} {name} do not fit log-probabilities of {self.log_probs_NKC.shape}: {wanted}")
        if num_rows == 0 or not np.isfinite(self.log_probs_NKC).all():
            raise ValueError("observations need at least one video and finite log-probabilities; observe again")
        if self.labels_N.min() < 0 or self.labels_N.max() >= num_classes:
            raise ValueError(f"labels must lie in 0..{num_classes - 1}")
        if num_rows % self.num_deals:
            raise ValueError(f"{num_rows} rows are no {self.num_deals} deals of the same videos")
        deals = [set(self.paths_N[rows]) for rows in self.rows_by_deal]
        if len(deals[0]) != self.num_videos:
            raise ValueError("a video is there twice; each counts once")
        if any(deal != deals[0] for deal in deals):
            raise ValueError("some deals of the folds are of other videos; all videos need a row in each")

    @property
    def num_rows(self) -> int:
        return len(self.paths_N)

    @property
    def num_videos(self) -> int:
        return self.num_rows // self.num_deals

    @property
    def rows_by_deal(self) -> tuple[slice, ...]:
        return tuple(slice(first, first + self.num_videos) for first in range(0, self.num_rows, self.num_videos))

    @property
    def correct_NK(self) -> NDArray[np.bool_]:
        correct: NDArray[np.bool_] = self.log_probs_NKC.argmax(axis=2) == self.labels_N[:, None]
        return correct

    @property
    def top_label_NK(self) -> NDArray[np.int64]:
        """What each exit says."""
        top_label_NK: NDArray[np.int64] = self.log_probs_NKC.argmax(axis=2)
        return top_label_NK

    @property
    def spent_K(self) -> NDArray[np.int64]:
        """Multiply-adds of a video that stops after step k."""
        return np.cumsum(np.asarray(self.step_flops_K, dtype=np.int64))

    def tempered(self, temperatures_K: Sequence[float]) -> NDArray[np.float64]:
        """Normalised log_probs_NKC after the temperatures, as the service answers."""
        return log_softmax(self.log_probs_NKC / np.asarray(temperatures_K)[:, None])

    def entropies(self, temperatures_K: Sequence[float]) -> NDArray[np.float32]:
        """entropy_NK in nats, after the temperatures."""
        return entropy_nats(self.log_probs_NKC / np.asarray(temperatures_K)[:, None]).astype(np.float32)

    def members(self, source: str) -> NDArray[np.bool_]:
        """Which rows are of `source`."""
        return np.array([of == source for of in self.sources_N])

    def in_order_of(self, other: "Observations") -> "Observations":
        """The same rows in `other`'s order. Raises ValueError unless both are of the same videos with the same labels.

        Labels are compared by name: two models may number them differently.
        """
        if self.num_deals > 1 or other.num_deals > 1:
            raise ValueError(
                f"{self.model} was answered in {self.num_deals} deals of the folds and {other.model} in "
                f"{other.num_deals}; a paired difference is of one answer a video: observe each by one network"
            )
        place = {path: row for row, path in enumerate(self.paths_N)}
        if set(place) != set(other.paths_N):
            num_odd = len(set(place) ^ set(other.paths_N))
            raise ValueError(
                f"{self.model} and {other.model} were observed on different videos ({num_odd} are in one alone); a "
                "paired difference needs the same split of the same data"
            )
        mine = self.rows(np.array([place[path] for path in other.paths_N]))
        if [self.classes_C[label] for label in mine.labels_N] != [other.classes_C[label] for label in other.labels_N]:
            raise ValueError(f"{self.model} and {other.model} disagree about labels; observe both on the same data")
        return mine

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.integer], *, num_deals: int | None = None) -> "Observations":
        """Some of the videos, in all deals, or in as many as told: which, by a truth value a row, or by row numbers in
        their new order."""
        numbers = np.arange(self.num_rows)[chosen]
        taken: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("paths_N", "groups_N", "sources_N"):
            taken[name] = tuple(taken[name][row] for row in numbers)
        taken |= {"labels_N": self.labels_N[numbers], "log_probs_NKC": self.log_probs_NKC[numbers]}
        taken["num_deals"] = self.num_deals if num_deals is None else num_deals
        return Observations(**taken)

    @classmethod
    def joined(cls, parts: Sequence["Observations"], *, num_deals: int = 1) -> "Observations":
        """The rows of all parts, deal by deal; they must agree in all else; seconds are the first part's."""
        first = parts[0]
        for part in parts[1:]:
            if (part.model, part.classes_C, part.step_flops_K) != (first.model, first.classes_C, first.step_flops_K):
                raise ValueError(f"{part.model} and {first.model} differ in labels or costs; observe one model")
        values: dict[str, Any] = {field.name: getattr(first, field.name) for field in fields(cls)}
        for name in ("paths_N", "groups_N", "sources_N"):
            values[name] = tuple(value for part in parts for value in getattr(part, name))
        for name in ("labels_N", "log_probs_NKC"):
            values[name] = np.concatenate([getattr(part, name) for part in parts])
        return cls(**{**values, "num_deals": num_deals})

    def save(self, path: Path) -> None:
        """Write an .npz, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            _NAMES_IN_FILES.get(field.name, field.name): np.asarray(getattr(self, field.name)) for field in fields(self)
        }
        scratch = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
        try:
            with scratch.open("wb") as file:
                np.savez_compressed(file, format=np.asarray(FORMAT), **arrays)
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> "Observations":
        """Raises ValueError for a file that is not one of ours."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                found = int(arrays["format"])
                names = [field.name for field in fields(cls)] if found == FORMAT else []
                in_file = {name: _NAMES_IN_FILES.get(name, name) for name in names}
                if "num_deals" not in arrays:  # written before there were several
                    in_file.pop("num_deals", None)
                values: dict[str, Any] = {name: arrays[entry] for name, entry in in_file.items()}
        except (OSError, EOFError, KeyError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} holds no observations ({error}); `fovea evaluate` writes them") from error
        if found != FORMAT:
            raise ValueError(f"{path} has format {found}, this version reads {FORMAT}; observe again")
        for name, array in values.items():
            if name in ("labels_N", "log_probs_NKC"):
                continue
            values[name] = tuple(array.tolist()) if array.ndim else array.item()
        return cls(**values)
