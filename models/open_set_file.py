"""An open-set score in a bundle: its arrays, as `open_set.safetensors`. Knows no arithmetic (`models.open_set`)."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from models.bundle_format import MANIFEST, OPEN_SET, BundleError, OpenSetFacts, read_bytes
from models.open_set import OpenSetScore

_ARRAYS = ("mean_D", "basis_RD", "class_means_CR", "precision_RR", "weight_D")
_WAY_OUT = "fit it again: fovea fit-open-set"


def open_set_file(score: OpenSetScore) -> bytes:
    return save({name: np.ascontiguousarray(getattr(score, name), np.float32) for name in _ARRAYS})


def read_open_set(folder: Path, facts: OpenSetFacts | None, num_labels: int) -> OpenSetScore | None:
    """None where the bundle has none. Raises BundleError."""
    if facts is None:
        return None
    try:
        arrays = load(read_bytes(folder, OPEN_SET))
    except SafetensorError as error:
        raise BundleError(folder, OPEN_SET, str(error), "it must be safetensors", _WAY_OUT) from error
    found = {name: f"{array.dtype} {list(array.shape)}" for name, array in sorted(arrays.items())}
    rank, num_features = arrays["basis_RD"].shape if getattr(arrays.get("basis_RD"), "ndim", 0) == 2 else (0, 0)
    shapes = {
        "mean_D": [num_features],
        "basis_RD": [rank, num_features],
        "class_means_CR": [num_labels, rank],
        "precision_RR": [rank, rank],
        "weight_D": [num_features],
    }
    if not rank or found != {name: f"float32 {shape}" for name, shape in shapes.items()}:
        rule = f"it must hold {', '.join(_ARRAYS)} as float32 of matching shapes, with {num_labels} classes"
        raise BundleError(folder, OPEN_SET, found, rule, _WAY_OUT)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise BundleError(folder, OPEN_SET, "a number that is not finite", "all must be finite", _WAY_OUT)
    if facts.slope <= 0:
        raise BundleError(folder, f"{MANIFEST}.open_set.slope", facts.slope, "it must be above 0", _WAY_OUT)
    return OpenSetScore(**arrays, facts=facts)
