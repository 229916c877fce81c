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
from training.data.dataset import Dataset, read_dataset
from training.data.frames import FrameStore
from training.data.groups import group_of
from training.data.negatives import KINDS, make_negatives
from training.judge.observe import label_numbers
from training.judge.open_set import Negatives, fit_open_set
from training.judge.open_set_result import OpenSetResult, outside_rows
from video.file.suffixes import SUFFIXES, is_video_name

_SYNTHETIC = "negatives-v2"
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
    """Fit the score of the bundle in `folder` on `data`, less its val split; write it in place, or to `out`.

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

    None where the recognizer tells no features. Of real footage every other file is fitted on, the rest measures; of
    synthetic footage some generators are never fitted on.
    """
    if not isinstance(recognizer, TellsFeatures):
        return None
    numbers = label_numbers(dataset, classes_C)
    real = [] if negatives is None else _videos(negatives)
    synthetic = make_negatives(cache / _SYNTHETIC)
    clips = [(sample, _features(recognizer, store, sample.path)) for sample in dataset.samples]
    readable = [(sample, features_D) for sample, features_D in clips if features_D is not None]
    found = [
        (features_D, "", path.name) for path in real if (features_D := _features(recognizer, store, path)) is not None
    ]
    if negatives is not None and len(found) < LEAST_REAL:
        raise ValueError(
            f"{negatives} holds {len(found)} videos that can be read, but {LEAST_REAL} are the least: half are fitted "
            "on, half measure; give more footage of none of the classes, or leave --negatives out"
        )
    made = [
        (one.measures, (_features(recognizer, store, one.path), one.kind, f"{one.kind}, {one.generator}"))
        for one in synthetic
    ]
    even = _stack([*found[::2], *(told for measures, told in made if not measures)])
    odd = _stack([*found[1::2], *(told for measures, told in made if measures)])
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


def fit_if_possible(
    recognizer: Recognizer[Any],
    dataset: Dataset,
    classes_C: Sequence[str],
    store: FrameStore,
    cache: Path,
    negatives: Path | None,
    root: Path,
) -> OpenSetScore | None:
    """`fit`; None, too, where nobody gave negatives and the clips are too few or too odd for a score."""
    try:
        return fit(recognizer, dataset, classes_C, store, cache, negatives, root)
    except ValueError:
        if negatives is not None:
            raise
        return None


def evaluate_open_set(
    recognizer: Recognizer[Any],
    bundle: Bundle,
    dataset: Dataset,
    store: FrameStore,
    cache: Path,
    negatives: Path,
    data: str,
) -> OpenSetResult:
    """On the clips of `dataset`, and on the footage that `fit` leaves for measuring. ValueError for a bundle without a
    score."""
    score = bundle.open_set
    if score is None or not isinstance(recognizer, TellsFeatures):
        raise ValueError(f"{bundle.name} has no open-set score to measure; fovea fit-open-set adds one")

    def in_domain(paths: Sequence[Path]) -> NDArray[np.float64]:
        found = [_features(recognizer, store, path) for path in paths]
        return np.array([score.in_domain(features_D) for features_D in found if features_D is not None])

    in_domain_N = in_domain([sample.path for sample in dataset.samples])
    real = _videos(negatives)[1::2]
    synthetic = [one for one in make_negatives(cache / _SYNTHETIC) if one.measures]
    outside = {"all real": in_domain(real)}
    for name in sorted({path.parent.name for path in real}):
        outside[name] = in_domain([path for path in real if path.parent.name == name])
    outside["all synthetic"] = in_domain([one.path for one in synthetic])
    for kind in KINDS:
        outside[kind.replace("_", " ")] = in_domain([one.path for one in synthetic if one.kind == kind])
    threshold = score.facts.threshold
    return OpenSetResult(
        model=bundle.name,
        digest=bundle.digest,
        fitted_on=score.facts.data,
        data=data,
        videos=len(in_domain_N),
        threshold=threshold,
        kept=float((in_domain_N >= threshold).mean()),
        median_in_domain=float(np.median(in_domain_N)),
        outside=outside_rows(in_domain_N, outside, threshold),
    )


def _videos(folder: Path) -> list[Path]:
    """In any folder below, in an order that does not depend on the machine."""
    found = sorted(
        (path for path in folder.rglob("*") if is_video_name(path.name)),
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


def _stack(told: Sequence[tuple[NDArray[np.float32] | None, str, str]]) -> Negatives:
    there = [(features_D, kind, source) for features_D, kind, source in told if features_D is not None]
    return Negatives(
        np.stack([features_D for features_D, _, _ in there]),
        tuple(kind for _, kind, _ in there),
        tuple(source for _, _, source in there),
    )
