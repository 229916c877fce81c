"""An open-set score in a bundle: its arrays, as `open_set.safetensors`. Knows no arithmetic (`models.open_set`)."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from models.bundle_format import MANIFEST, OPEN_SET, BundleError, OpenSetFacts, read_bytes
from models.open_set import KernelDiscriminant, OpenSetScore

_ARRAYS = ("mean_D", "basis_RD", "class_means_CR", "precision_RR")
_LINEAR, _KERNEL = ("weight_D",), ("axes_AD", "landmarks_LA", "weight_L")
_HALVES = ("axes_AD", "landmarks_LA")  # float16: large, and fitted to their rounded values
_WAY_OUT = "fit it again: fovea fit-open-set"


def open_set_file(score: OpenSetScore) -> bytes:
    arrays = {name: getattr(score, name) for name in _ARRAYS}
    if score.kernel is None:
        arrays["weight_D"] = score.weight_D
    else:
        arrays |= {name: getattr(score.kernel, name) for name in _KERNEL}
    return save(
        {
            name: np.ascontiguousarray(array, np.float16 if name in _HALVES else np.float32)
            for name, array in arrays.items()
        }
    )


def read_open_set(folder: Path, facts: OpenSetFacts | None, num_labels: int) -> OpenSetScore | None:
    """None where the bundle has none. Raises BundleError."""
    if facts is None:
        return None
    try:
        arrays = load(read_bytes(folder, OPEN_SET))
    except SafetensorError as error:
        raise BundleError(folder, OPEN_SET, str(error), "it must be safetensors", _WAY_OUT) from error
    found = {name: f"{array.dtype} {list(array.shape)}" for name, array in sorted(arrays.items())}
    rank, num_features = _shape_of(arrays.get("basis_RD"))
    axes, landmarks = _shape_of(arrays.get("axes_AD"))[0], _shape_of(arrays.get("landmarks_LA"))[0]
    common = {
        "mean_D": f"float32 {[num_features]}",
        "basis_RD": f"float32 {[rank, num_features]}",
        "class_means_CR": f"float32 {[num_labels, rank]}",
        "precision_RR": f"float32 {[rank, rank]}",
    }
    linear = {"weight_D": f"float32 {[num_features]}"}
    kernel = {
        "axes_AD": f"float16 {[axes, num_features]}",
        "landmarks_LA": f"float16 {[landmarks, axes]}",
        "weight_L": f"float32 {[landmarks]}",
    }
    if not rank or found not in (common | linear, common | kernel):
        rule = (
            f"it must hold {', '.join(_ARRAYS)} and either {', '.join(_LINEAR)} or {', '.join(_KERNEL)}, of matching "
            f"shapes, {' and '.join(_HALVES)} as float16 and the others as float32, with {num_labels} classes"
        )
        raise BundleError(folder, OPEN_SET, found, rule, _WAY_OUT)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise BundleError(folder, OPEN_SET, "a number that is not finite", "all must be finite", _WAY_OUT)
    if facts.slope <= 0:
        raise BundleError(folder, f"{MANIFEST}.open_set.slope", facts.slope, "it must be above 0", _WAY_OUT)
    read = {name: array.astype(np.float32) for name, array in arrays.items()}
    discriminant = None
    if "weight_D" not in read:
        discriminant = KernelDiscriminant(**{name: read[name] for name in _KERNEL})
    return OpenSetScore(
        mean_D=read["mean_D"],
        basis_RD=read["basis_RD"],
        class_means_CR=read["class_means_CR"],
        precision_RR=read["precision_RR"],
        facts=facts,
        weight_D=read.get("weight_D"),
        kernel=discriminant,
    )


def _shape_of(array: NDArray[Any] | None) -> tuple[int, int]:
    """(0, 0) of what is no matrix."""
    return (0, 0) if array is None or array.ndim != 2 else (array.shape[0], array.shape[1])
