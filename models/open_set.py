"""Whether a clip shows anything like what a model was trained on: an open-set score from the glance's features.

Two closed forms, summed. How far the features lie from the nearest class (Mahalanobis, under one covariance that all
classes share; Lee et al., NeurIPS 2018) also tells footage of a kind that nobody thought of. A linear discriminant
against footage of no class tells that kind well. A logistic makes a probability of the sum.

Knows no network: numpy alone. `training.judge.open_set` fits one; a bundle keeps it (`open_set.safetensors`).

Shape suffixes: D features of a glance, R directions that are kept of them, C classes, N clips.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from models.bundle_format import MANIFEST, OPEN_SET, BundleError, OpenSetFacts, read_bytes

_LEAST_NORM = 1e-12
_LEAST_DISTANCE = 1e-9
_ARRAYS = ("mean_D", "basis_RD", "class_means_CR", "precision_RR", "weight_D")
_WAY_OUT = "fit it again: fovea fit-open-set"


@dataclass(frozen=True, slots=True, eq=False)
class OpenSetScore:
    """Arrays are float32. `facts` hold the scalars, and what the score is worth."""

    mean_D: NDArray[np.float32]
    basis_RD: NDArray[np.float32]
    class_means_CR: NDArray[np.float32]
    precision_RR: NDArray[np.float32]
    weight_D: NDArray[np.float32]
    facts: OpenSetFacts

    def in_domain(self, features_D: NDArray[np.floating]) -> float:
        """In [0, 1]: how likely the clip shows something like the training clips, where both are as frequent.

        Raises ValueError for another number of features, FloatingPointError for features that are not finite.
        """
        if features_D.shape != self.mean_D.shape:
            raise ValueError(
                f"a glance has features of shape {features_D.shape}, but the open-set score was fitted on "
                f"{self.mean_D.shape}; {_WAY_OUT}"
            )
        if not np.isfinite(features_D).all():
            raise FloatingPointError("features are not finite: the weights or the device are broken")
        (score,) = self.scores(features_D[None])
        return float(1 / (1 + np.exp(-np.clip(self.facts.slope * score + self.facts.offset, -500, 500))))

    def scores(self, features_ND: NDArray[np.floating]) -> NDArray[np.float64]:
        """score_N, before the logistic."""
        x_ND = unit_features(features_ND) - self.mean_D
        distance_N = nearest_distance(x_ND @ self.basis_RD.T, self.class_means_CR, self.precision_RR)
        discriminant_N: NDArray[np.float64] = x_ND @ self.weight_D + self.facts.bias
        return discriminant_N - np.log(distance_N)


def unit_features(features_ND: NDArray[np.floating]) -> NDArray[np.float64]:
    """Signed square roots (power normalisation: a few large features do not rule), at length 1."""
    roots_ND = np.sign(features_ND) * np.sqrt(np.abs(features_ND.astype(np.float64)))
    norms_N1 = np.linalg.norm(roots_ND, axis=1, keepdims=True)
    return roots_ND / np.maximum(norms_N1, _LEAST_NORM)


def nearest_distance(
    z_NR: NDArray[np.floating], class_means_CR: NDArray[np.floating], precision_RR: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Squared Mahalanobis distance to the nearest class, above 0."""
    offset_NCR = z_NR[:, None].astype(np.float64) - class_means_CR[None]
    distance_NC = np.einsum("ncr,rs,ncs->nc", offset_NCR, precision_RR, offset_NCR)
    return np.maximum(distance_NC.min(axis=1), _LEAST_DISTANCE)


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
