"""From a checkpoint of another project to a bundle, and what was taken, left and assumed: `fovea import`.

Knows no service. The bundle is not calibrated: nobody has run it on videos yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.adafocus.foreign import is_adafocus
from models.bundle import Bundle, write_bundle
from models.bundle_format import Architecture, Card, Description, Provenance
from models.calibration import not_calibrated
from models.families import find_family
from models.timesformer.foreign import is_timesformer
from models.tsm.foreign import is_tsm
from training.bundling import check_name
from training.foreign import adafocus, timesformer, tsm
from training.foreign.taken import Asked, Taken
from training.foreign_files import ForeignFile, read_foreign_file
from training.label_file import read_label_texts, read_labels

__all__ = ["Asked", "Imported", "import_checkpoint", "read_labels"]


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """`notes`: sentences on what was taken, left, assumed and stays untrained."""

    bundle: Bundle
    notes: tuple[str, ...]


def import_checkpoint(source: str, labels_file: Path, out: Path, asked: Asked, *, overwrite: bool = False) -> Imported:
    """Write the bundle `out`. It appears complete, or not at all.

    Raises ValueError for a source that cannot be read, is no model that is known here, or is one in part (everything
    that misfits is listed), for labels that do not match its head, and where there is no room.
    """
    check_name(out, overwrite=overwrite)
    labels = read_labels(labels_file)
    label_texts = read_label_texts(labels_file)
    file = read_foreign_file(source)
    taken = _take(file, asked)
    _check_labels(labels, taken.config.num_classes, taken.labels or {}, labels_file)
    licence = asked.licence or taken.licence
    family = find_family(taken.config.family)
    step_flops = family.step_flops(taken.config)
    description = Description(
        name=out.name,
        task=asked.task or labels_file.stem,
        labels=labels,
        label_texts=label_texts,
        trained=True,
        architecture=Architecture(family=family.name, config=taken.config.to_dict()),
        clip=taken.framing,
        default_budget_gflops=sum(step_flops) / 1e9,
        licence=licence,
        provenance=Provenance(
            data="not stated", recipe=f"imported from {file.path.name} ({taken.layout})", seed=0, commit=None
        ),
        card=Card(
            intended_use="Recognising the listed labels, as whoever trained the weights meant it.", limits=taken.limits
        ),
        calibration="none",
        measured=None,
    )
    calibration = not_calibrated(step_flops, taken.temperatures_K)
    try:
        bundle = write_bundle(out.parent, description, taken.tensors, calibration, replace=overwrite)
    except OSError as error:
        size_mb = sum(tensor.numel() * tensor.element_size() for tensor in taken.tensors.values()) / 1e6
        raise ValueError(
            f"{out} cannot be written ({error.strerror or error}); it needs {size_mb:.0f} MB, and nothing was left "
            f"behind: free some, or choose another folder"
        ) from error
    uncalibrated = "nothing is calibrated: all steps are taken until `fovea calibrate`"
    return Imported(bundle, (*taken.notes, f"licence: {licence}", uncalibrated))


def _take(file: ForeignFile, asked: Asked) -> Taken:
    """By the project whose names they are."""
    if is_adafocus(file.tensors):
        _only(asked, "AdaFocus", num_views=asked.num_views, num_heads=asked.num_heads)
        return adafocus.take(file, asked)
    if is_tsm(file.tensors):
        _only(asked, "TSM", num_views=asked.num_views, num_heads=asked.num_heads, cube_px=asked.cube_px)
        return tsm.take(file, asked)
    if is_timesformer(file.tensors):
        _only(asked, "TimeSformer", cube_px=asked.cube_px)
        return timesformer.take(file, asked)
    some = ", ".join(sorted(file.tensors)[:5])
    raise ValueError(
        f"no layout that is known here: {file.path} holds {some}; give a TimeSformer (the authors' .pyth, a "
        f"HuggingFace folder, MMAction2's .pth), a TSM, AdaFocusV2 or Uni-AdaFocus. An image network is no video "
        f"model: start training from it with fovea train ... --glance-weights FILE"
    )


def _only(asked: Asked, title: str, **given: int | None) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} is {value}, but a {title} has no such choice; leave it out")


def _check_labels(labels: Sequence[str], num_classes: int, theirs: Mapping[int, str], path: Path) -> None:
    if len(labels) != num_classes:
        raise ValueError(
            f"{path} has {len(labels)} labels, but the checkpoint's head has {num_classes} classes; give the list that "
            f"it was trained with, in its order"
        )
    if len(set(labels)) != len(labels):
        twice = sorted({label for label in labels if labels.count(label) > 1})
        raise ValueError(f"{path} has labels twice: {', '.join(twice[:5])}; each needs a name of its own")
    wrong = [(number, label) for number, label in theirs.items() if number < num_classes and labels[number] != label]
    if wrong:
        number, label = wrong[0]
        raise ValueError(
            f"{path} differs from the checkpoint's own labels in {len(wrong)} places: number {number} is "
            f"{labels[number]!r} here and {label!r} there; give them in the checkpoint's order"
        )
