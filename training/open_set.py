"""Gives a bundle an open-set score: looks at its clips and at footage of none of its classes, fits, measures, writes.

Knows no arithmetic (`training.judge.open_set`) and no family: any recognizer that tells the features of its glance.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from fovea.errors import VideoError
from models.bundle import Bundle, write_bundle
from models.bundle_format import WEIGHTS, Description
from models.families import find_family
from models.loading import load_network
from models.open_set import OpenSetScore
from models.recognizer import Recognizer, TellsFeatures
from models.runtime import RuntimeConfig, make_runtime
from training.data.dataset import SUFFIXES, Dataset, read_dataset
from training.data.frames import FrameStore
from training.data.groups import group_of
from training.data.negatives import make_negatives
from training.judge.observe import label_numbers
from training.judge.open_set import Negatives, fit_open_set

_SYNTHETIC = "negatives-v1"
LEAST_REAL = 4  # files: half are fitted on, half are measured on


def add_open_set(
    folder: Path,
    data: Path,
    *,
    cache: Path,
    runtime: RuntimeConfig,
    negatives: Path | None = None,
    out: Path | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Fit the score of the bundle in `folder` on `data`, less its val split, and write the bundle in place, or to `out`.

    Weights, calibration and figures stay. Raises ValueError for labels that the model does not know, for a family that
    tells no features, and for negatives that are none.
    """
    bundle = Bundle.read(folder.resolve())
    recognizer = find_family(bundle.config.family).make_recognizer(
        load_network(bundle), bundle.clip_rule, bundle.calibration.temperatures_K, make_runtime(runtime)
    )
    short_side_px = bundle.clip_rule.source_short_side_px or min(bundle.config.frame_size)
    dataset = read_dataset(data)
    seen = dataset.subset(sample for sample in dataset.samples if sample.split != "val")
    score = fit(recognizer, seen, bundle.labels, FrameStore(cache, short_side_px), cache, negatives, data)
    if score is None:
        raise ValueError(
            f"{bundle.name} tells no features of its glance, so that no open-set score can be made of them"
        )
    target = out or folder.resolve()
    values = {name: getattr(bundle.manifest, name) for name in Description.model_fields} | {"name": target.name}
    return write_bundle(
        target.parent,
        Description(**values),
        load_file(folder / WEIGHTS),
        bundle.calibration,
        replace=out is None or overwrite,
        open_set=score,
    )


def fit(
    recognizer: Recognizer[Any],
    dataset: Dataset,
    classes_C: Sequence[str],
    store: FrameStore,
    cache: Path,
    negatives: Path | None,
    root: Path,
) -> OpenSetScore | None:
    """The score of these clips against synthetic footage and, if given, what `negatives` holds.

    None where the recognizer tells no features. Of the footage every other file is fitted on, the rest measures.
    """
    if not isinstance(recognizer, TellsFeatures):
        return None
    numbers = label_numbers(dataset, classes_C)
    real = [] if negatives is None else _videos(negatives)
    synthetic = make_negatives(cache / _SYNTHETIC)
    clips = [(sample, _features(recognizer, store, sample.path)) for sample in dataset.samples]
    readable = [(sample, features_D) for sample, features_D in clips if features_D is not None]
    found = [(features_D, "") for path in real if (features_D := _features(recognizer, store, path)) is not None]
    if negatives is not None and len(found) < LEAST_REAL:
        raise ValueError(
            f"{negatives} holds {len(found)} videos that can be read, but {LEAST_REAL} are the least: half are fitted "
            "on, half measure; give more footage of none of the classes, or leave --negatives out"
        )
    made = [(_features(recognizer, store, one.path), one.kind) for one in synthetic]
    even = _stack([*found[::2], *made[::2]])
    odd = _stack([*found[1::2], *made[1::2]])
    num_synthetic = sum(map(bool, even.kinds_M))
    against = f"{len(even.kinds_M) - num_synthetic} real and {num_synthetic} synthetic clips of none of the classes"
    if not found:
        against = f"{num_synthetic} synthetic clips ALONE: no footage of none of the classes was given"
    return fit_open_set(
        np.stack([features_D for _, features_D in readable]),
        np.array([numbers[sample.label] for sample, _ in readable]),
        [f"{sample.source}/{group_of(sample)}" for sample, _ in readable],
        len(classes_C),
        even,
        odd,
        data=f"{len(readable)} clips of {root.resolve().stem} and {against}",
    )


def measure(
    recognizer: Recognizer[Any],
    score: OpenSetScore,
    paths: Sequence[Path],
    store: FrameStore,
) -> NDArray[np.float64]:
    """in_domain of every video that can be read."""
    assert isinstance(recognizer, TellsFeatures), "a bundle with a score has a recognizer that tells features"
    found = [_features(recognizer, store, path) for path in paths]
    return np.array([score.in_domain(features_D) for features_D in found if features_D is not None])


def held_out_negatives(negatives: Path) -> list[Path]:
    """The files that `fit` does not fit on."""
    return _videos(negatives)[1::2]


def _videos(folder: Path) -> list[Path]:
    """In any folder below, in an order that does not depend on the machine."""
    found = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")),
        key=lambda path: path.relative_to(folder).as_posix(),
    )
    if not found:
        raise ValueError(f"{folder} holds no video ({', '.join(SUFFIXES)}); give a folder of footage of no class")
    return found


def _features(recognizer: Recognizer[Any], store: FrameStore, path: Path) -> NDArray[np.float32] | None:
    """One clip at a time: large clips take a gigabyte by themselves. None where the video cannot be read."""
    assert isinstance(recognizer, TellsFeatures)
    try:
        clip_THWC = store.clip(path, recognizer.clip_rule)
    except VideoError:
        return None
    (state,) = recognizer.glance([clip_THWC])
    return recognizer.glance_features(state)


def _stack(told: Sequence[tuple[NDArray[np.float32] | None, str]]) -> Negatives:
    there = [(features_D, kind) for features_D, kind in told if features_D is not None]
    return Negatives(np.stack([features_D for features_D, _ in there]), tuple(kind for _, kind in there))
