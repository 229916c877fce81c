"""What a run of `fovea train` is, on disk: OUT/run.json, which says everything that its weights follow from.

Knows no trainer: it holds values. Whoever wants to use the result reads this file and OUT/best.safetensors alone.

    OUT/run.json             a Run (below) as JSON, written once, before the first step
    OUT/best.safetensors     the network's state_dict (fp32) at its best score on the held-out videos; of a recipe that
                             cross-fits (`folds`), at its end
    OUT/metrics.csv          one line per epoch
    OUT/last.ckpt            what a resumed run goes on from (torch.save of plain tensors and numbers)
    OUT/done                 empty; there once the run has come to its end

`run.json` holds `format` beside the Run's fields. `model.config` is the `to_dict()` of a configuration of
`model.family` (`training.families`); `training.fit.networks.build(run.model)` makes the network.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.fit.recipe import Recipe
from video.clip import ClipRule

FORMAT = 1
RUN = "run.json"
BEST = "best.safetensors"
LAST = "last.ckpt"
METRICS = "metrics.csv"
DONE = "done"


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A network's family and its configuration as plain values."""

    family: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Start:
    """One file that weights were initialised from: which part of the network (`all`: a bundle), its name and sha256."""

    part: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DataUsed:
    """Which videos were trained on, and which were set aside to stop early and to calibrate.

    Files are relative to the data set's root (the folder, or the CSV's), with forward slashes.
    """

    path: str
    """The folder or CSV as resolved when the run began; it may have moved since."""
    fingerprint: str
    """Of the listing of the train split: files, labels, groups and sources."""
    training_files: tuple[str, ...]
    held_out_files: tuple[str, ...]
    held_out_subjects: tuple[str, ...]
    """Empty where the data names no groups."""

    @property
    def num_training(self) -> int:
        return len(self.training_files)


@dataclass(frozen=True, slots=True)
class Run:
    model: ModelPlan
    clip: ClipRule
    labels: tuple[str, ...]
    recipe: Recipe
    augmentation: dict[str, Any]
    data: DataUsed
    starts: tuple[Start, ...]
    commit: str | None
    """Of the code, where it is a git checkout. A resumed run may have another: it is the first one's."""

    @property
    def seed(self) -> int:
        return self.recipe.seed

    def differences(self, other: "Run") -> list[str]:
        """What would make another network of it, as dotted names with both values; the commit and paths do not."""
        mine, theirs = _flat(asdict(self)), _flat(asdict(other))
        harmless = ("commit", "data.path")
        return [
            f"{name}: {mine.get(name)!r} and {theirs.get(name)!r}"
            for name in sorted(mine.keys() | theirs.keys(), key=lambda name: (name.count("."), name))
            if name not in harmless and mine.get(name) != theirs.get(name)
        ]


def write_run(folder: Path, run: Run) -> None:
    """Write `folder`/run.json, whole or not at all."""
    text = json.dumps({"format": FORMAT, **asdict(run)}, indent=1) + "\n"
    scratch = folder / f".{RUN}.unfinished"
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, folder / RUN)


def read_run(folder: Path) -> Run:
    """Raises ValueError for a folder that holds no run, or one of another format."""
    path = folder / RUN
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} holds no readable {RUN} ({error}); `fovea train` makes one") from error
    try:
        if values["format"] != FORMAT:
            raise ValueError(f"format is {values['format']!r}, but this version reads {FORMAT}")
        data, clip = values["data"], values["clip"]
        return Run(
            model=ModelPlan(**values["model"]),
            clip=ClipRule(**clip),
            labels=tuple(values["labels"]),
            recipe=Recipe.from_dict(values["recipe"]),
            augmentation=values["augmentation"],
            data=DataUsed(
                **{**data, **{n: tuple(data[n]) for n in ("held_out_files", "held_out_subjects")}},
            ),
            starts=tuple(Start(**start) for start in values["starts"]),
            commit=values["commit"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a run: {error}; train again into another folder") from error


def code_commit() -> str | None:
    """Of the checkout that this code lies in, marked where it was changed since; None where git knows of none."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = _lists(value)
    return flat


def _lists(value: Any) -> Any:
    """As JSON gives them back, at every depth."""
    return [_lists(each) for each in value] if isinstance(value, tuple | list) else value
