"""Which videos there are and what they show: read from a folder per class, or from a CSV.

Knows no pixel and no model; a video is opened only to see that it is one.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fovea.errors import VideoError
from video.clip import VideoLimits
from video.file.scan import scan
from video.file.suffixes import SUFFIXES, is_video_name

LIMITS = VideoLimits(duration_s=600.0, frame_pixels=3840 * 2160, frames=36_000)  # the service's own defaults
CSV_NAME = "labels.csv"
SPLITS = ("train", "val", "test")
_MOST_LISTED = 20


class DatasetError(ValueError):
    """The data cannot be trained on as it is; the message names what is wrong and the way out."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled video."""

    path: Path
    label: int
    """Index into `Dataset.labels`."""
    split: str = "train"
    subject: str = ""
    """The group it belongs to (person, session, source video), never to be torn apart by a split; "" if not stated."""
    source: str = ""
    """The collection it comes from, to report results by; "" if not stated."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A video that was left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled videos; a value. Every part of a data set keeps all of its labels."""

    labels: tuple[str, ...]
    samples: tuple[Sample, ...]
    unreadable: tuple[Unreadable, ...] = ()
    """What was left out of the whole that this is a part of."""

    @property
    def num_classes(self) -> int:
        return len(self.labels)

    def __len__(self) -> int:
        return len(self.samples)

    def subset(self, samples: Iterable[Sample]) -> "Dataset":
        return replace(self, samples=tuple(samples))

    def split(self, name: str) -> "Dataset":
        """The samples of one split; DatasetError if there are none."""
        samples = [sample for sample in self.samples if sample.split == name]
        if not samples:
            there = sorted({sample.split for sample in self.samples})
            raise DatasetError(f"no video is in the split {name!r}; those with videos are {', '.join(there)}")
        return self.subset(samples)

    def without(self, unreadable: Sequence[Unreadable], max_share: float) -> "Dataset":
        """Less the unreadable videos, which are then listed beside those that were left out before.

        DatasetError where they are more than `max_share` of the samples, and where a class of a split is left empty.
        """
        if len(unreadable) > max_share * len(self.samples):
            raise DatasetError(
                f"{len(unreadable)} of {len(self.samples)} videos cannot be read, more than the {max_share:.0%} that "
                "may be left out; repair or remove them, or allow a larger share:\n" + describe(unreadable)
            )
        gone = {entry.path for entry in unreadable}
        remaining = [sample for sample in self.samples if sample.path not in gone]
        emptied = {(s.split, s.label) for s in self.samples} - {(s.split, s.label) for s in remaining}
        for split, label in sorted(emptied):
            raise DatasetError(
                f"no video of class {self.labels[label]!r} in the split {split!r} can be read; replace them, or "
                "remove the class:\n" + describe(unreadable)
            )
        return replace(self, samples=tuple(remaining), unreadable=(*self.unreadable, *unreadable))


def relative(path: Path, root: Path) -> str:
    """With forward slashes, from the data set's root (the folder, or the CSV's)."""
    base = root.resolve() if root.is_dir() else root.resolve().parent
    resolved = path.resolve()
    return (resolved.relative_to(base) if resolved.is_relative_to(base) else resolved).as_posix()


def describe(unreadable: Iterable[Unreadable]) -> str:
    """One line per video, the first twenty."""
    lines = [f"  {entry.path}: {entry.reason}" for entry in unreadable]
    more = [f"  and {len(lines) - _MOST_LISTED} more"] if len(lines) > _MOST_LISTED else []
    return "\n".join(lines[:_MOST_LISTED] + more)


def read_dataset(path: Path, *, max_unreadable_share: float = 0.1) -> Dataset:
    """The data set at `path`: a folder per class (on top, if wanted, `train/` and `val/`), or a CSV.

    The CSV has the columns path (relative to its folder), label and, if wanted, split, subject and source; others are
    ignored. A folder that holds a `labels.csv` is read by that. Labels are sorted; without splits, all is `train`.
    Videos that cannot be opened are left out and listed in `unreadable`.
    Raises DatasetError: nothing there, fewer than two classes, an empty class folder, classes that differ between train
    and val, a malformed CSV, more than `max_unreadable_share` unreadable.
    """
    table = path / CSV_NAME if path.is_dir() else path
    if table.is_file():
        rows = _read_csv(table)
    elif path.is_dir():
        rows = _read_tree(path)
    else:
        raise DatasetError(f"{path} is neither a folder nor a file; give a folder per class, or a CSV")
    labels = tuple(sorted({label for label, _ in rows}))
    if len(labels) < 2:
        raise DatasetError(
            f"{path} holds {len(labels)} class ({', '.join(labels)}), but telling apart takes two or more: "
            "put the videos of each class in a folder named after it"
        )
    numbers = {label: number for number, label in enumerate(labels)}
    dataset = Dataset(labels, tuple(replace(sample, label=numbers[label]) for label, sample in rows))
    _check_same_classes(dataset)
    return dataset.without(_unopenable(dataset.samples), max_unreadable_share)


_Row = tuple[str, Sample]  # the label's name; the sample's own label is not known yet


def _read_tree(folder: Path) -> list[_Row]:
    tops = [(split, folder / split) for split in SPLITS if (folder / split).is_dir()] or [("train", folder)]
    beside = sorted(e.name for e in folder.iterdir() if e.is_dir() and e.name not in SPLITS and e.name[0] != ".")
    if tops[0][1] != folder and beside:
        raise DatasetError(
            f"{folder} holds {', '.join(beside)} beside {', '.join(split for split, _ in tops)}: splits are called "
            f"{', '.join(SPLITS)}, and where there are some all else lies in them; rename or move"
        )
    rows = []
    for split, top in tops:
        classes = sorted(entry for entry in top.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        if not classes:
            raise DatasetError(f"{top} holds no class folder; put the videos of each class in a folder named after it")
        for entry in classes:
            videos = sorted(file for file in entry.iterdir() if _is_video(file))
            if not videos:
                raise DatasetError(
                    f"the class folder {entry} holds no video ({', '.join(SUFFIXES)}); fill or remove it"
                )
            rows += [(entry.name, Sample(video, -1, split)) for video in videos]
    return rows


def _is_video(file: Path) -> bool:
    return is_video_name(file.name) and file.is_file()


def _read_csv(table: Path) -> list[_Row]:
    rows: list[_Row] = []
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            if missing := {"path", "label"} - set(reader.fieldnames or ()):
                raise DatasetError(f"{table} lacks the column {', '.join(sorted(missing))}; its first line names them")
            for row in reader:
                rows.append(_read_row(row, table, reader.line_num))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{table} is no CSV in UTF-8: {error}") from None
    if not rows:
        raise DatasetError(f"{table} lists no video")
    twice = [path for path, count in Counter(sample.path for _, sample in rows).items() if count > 1]
    if twice:
        raise DatasetError(f"{table} lists {twice[0]} more than once; a video has one label and one split")
    return rows


def _read_row(row: Mapping[str, str], table: Path, line: int) -> _Row:
    label, split = row["label"].strip(), (row.get("split") or "train").strip()
    if not label or not row["path"].strip():
        raise DatasetError(f"{table}, line {line}: path and label must both be there")
    if split not in SPLITS:
        raise DatasetError(f"{table}, line {line}: split is {split!r}, but must be one of {', '.join(SPLITS)}")
    path = table.parent / row["path"].strip()
    return label, Sample(path, -1, split, (row.get("subject") or "").strip(), (row.get("source") or "").strip())


def _check_same_classes(dataset: Dataset) -> None:
    """Where there is a val split, it must hold what train holds."""
    of = {split: {sample.label for sample in dataset.samples if sample.split == split} for split in SPLITS}
    if not of["train"]:
        raise DatasetError("no video is in the split 'train'; there must be some to learn from")
    for split in ("val", "test"):
        if of[split] and (differ := of["train"] ^ of[split]):
            names = ", ".join(
                f"{dataset.labels[n]} ({'train' if n in of['train'] else split} only)" for n in sorted(differ)
            )
            raise DatasetError(
                f"the classes of train and {split} differ: {names}; give each class videos in both, or in neither"
            )


def _unopenable(samples: Iterable[Sample]) -> list[Unreadable]:
    """Videos whose container or stream makes no sense; nothing is decoded."""
    found = []
    for sample in samples:
        try:
            scan(str(sample.path), LIMITS)
        except (VideoError, OSError) as error:
            found.append(Unreadable(sample.path, error.detail if isinstance(error, VideoError) else str(error)))
    return found
