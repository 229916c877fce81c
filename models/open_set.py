"""Whether a clip shows anything like what a model was trained on: an open-set score from the glance's features.

Two closed forms, summed. How far the features lie from the nearest class (Mahalanobis, under one covariance that all
classes share; Lee et al., NeurIPS 2018) also tells footage of a kind that nobody thought of. A kernel discriminant
against footage of no class tells that kind well. A logistic makes a probability of the sum.

Knows no network: numpy alone. `training.judge.open_set` fits one; `models.open_set_file` keeps it in a bundle.

Shape suffixes: D features of a glance, R and A directions that are kept of them, L clips that a
kernel was fitted on, C classes, N clips.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bundle_format import OpenSetFacts

_LEAST_NORM = 1e-12
_LEAST_DISTANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class KernelDiscriminant:
    """How much a clip is like those of the classes and unlike the others that it was fitted on: a sum of Gaussians, one
    around each (kernel ridge regression), in the directions in which they differ most. Axes are scaled so that a
    Gaussian is exp(-distance^2); all are float32 in memory, axes and landmarks float16 in a file."""

    axes_AD: NDArray[np.float32]
    landmarks_LA: NDArray[np.float32]
    weight_L: NDArray[np.float32]

    def of(self, x_ND: NDArray[np.floating]) -> NDArray[np.float64]:
        """Of unit features less the mean of those in the domain."""
        told_N: NDArray[np.float64] = gaussians(x_ND @ self.axes_AD.T, self.landmarks_LA) @ self.weight_L
        return told_N


@dataclass(frozen=True, slots=True, eq=False)
class OpenSetScore:
    """Arrays are float32. `facts` hold the scalars, and what the score is worth."""

    mean_D: NDArray[np.float32]
    basis_RD: NDArray[np.float32]
    class_means_CR: NDArray[np.float32]
    precision_RR: NDArray[np.float32]
    facts: OpenSetFacts
    weight_D: NDArray[np.float32] | None = None
    """A linear discriminant: of scores that were fitted before there were kernels."""
    kernel: "KernelDiscriminant | None" = None
    """One of both is there."""

    def in_domain(self, features_D: NDArray[np.floating]) -> float:
        """In [0, 1]: how likely the clip shows something like the training clips, where both are as frequent.

        Raises ValueError for another number of features, FloatingPointError for features that are not finite.
        """
        if features_D.shape != self.mean_D.shape:
            raise ValueError(
                f"a glance has features of shape {features_D.shape}, but the open-set score was fitted on "
                f"{self.mean_D.shape}; fit it again: fovea fit-open-set"
            )
        if not np.isfinite(features_D).all():
            raise FloatingPointError("features are not finite: the weights or the device are broken")
        (score,) = self.scores(features_D[None])
        return float(1 / (1 + np.exp(-np.clip(self.facts.slope * score + self.facts.offset, -500, 500))))

    def scores(self, features_ND: NDArray[np.floating]) -> NDArray[np.float64]:
        """score_N, before the logistic."""
        x_ND = unit_features(features_ND) - self.mean_D
        distance_N = nearest_distance(x_ND @ self.basis_RD.T, self.class_means_CR, self.precision_RR)
        if self.kernel is not None:
            discriminant_N = self.kernel.of(x_ND)
        else:
            assert self.weight_D is not None, "one of both is there"
            discriminant_N = x_ND @ self.weight_D
        score_N: NDArray[np.float64] = discriminant_N + self.facts.bias - np.log(distance_N)
        return score_N


def unit_features(features_ND: NDArray[np.floating]) -> NDArray[np.float64]:
    """Signed square roots (power normalisation: a few large features do not rule), at length 1."""
    roots_ND = np.sign(features_ND) * np.sqrt(np.abs(features_ND.astype(np.float64)))
    norms_N1 = np.linalg.norm(roots_ND, axis=1, keepdims=True)
    unit_ND: NDArray[np.float64] = roots_ND / np.maximum(norms_N1, _LEAST_NORM)
    return unit_ND


def nearest_distance(
    z_NR: NDArray[np.floating], class_means_CR: NDArray[np.floating], precision_RR: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Squared Mahalanobis distance to the nearest class, above 0."""
    offset_NCR = z_NR[:, None].astype(np.float64) - class_means_CR[None]
    distance_NC = np.einsum("ncr,rs,ncs->nc", offset_NCR, precision_RR, offset_NCR)
    least_N: NDArray[np.float64] = np.maximum(distance_NC.min(axis=1), _LEAST_DISTANCE)
    return least_N


def gaussians(z_NA: NDArray[np.floating], landmarks_LA: NDArray[np.floating]) -> NDArray[np.float64]:
    """nearness_NL in (0, 1]."""
    z, landmarks = z_NA.astype(np.float64), landmarks_LA.astype(np.float64)
    apart_NL = (z * z).sum(axis=1)[:, None] + (landmarks * landmarks).sum(axis=1) - 2 * z @ landmarks.T
    nearness_NL: NDArray[np.float64] = np.exp(-np.maximum(apart_NL, 0))
    return nearness_NL
