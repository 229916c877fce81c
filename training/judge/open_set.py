"""Fits an open-set score on features of glances, and says what it is worth on clips that it was not fitted on.

Knows no network and no file. Everything that is calibrated is out of fold: in-domain clips by whole groups, footage of
none of the classes by file.

Shape suffixes: N in-domain clips, M clips of none of the classes, D features, R directions, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bundle_format import OpenSetFacts
from models.open_set import KernelDiscriminant, OpenSetScore, gaussians, nearest_distance, unit_features

RANK = 24  # chosen by folds among 24, 32, 48, 64, 128: fewer directions tell unseen kinds of footage better
SHRINKAGE = 0.1  # of the shared covariance, toward a multiple of the identity
AXES = 128  # of the kernel: level with all directions, a tenth of the bundle's bytes
NARROWNESS = 2.0  # of its Gaussians, for features of length 1: 1 to 4 are level
RIDGE = 0.03  # 0.01 to 0.1 are level
KERNEL_SCALE = 8.0  # of the kernel beside the logarithm of the distance: 4 to 16 are level
NUM_FOLDS = 5
KEPT = 0.95  # of in-domain clips, out of fold: one in twenty is taken for unknown
_NEWTON_STEPS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Negatives:
    """Features of footage of none of the classes. `kinds_M` says what it is, "" for real footage; `sources_M` which
    clips have the same origin, such as the same generator, and are left out together."""

    features_MD: NDArray[np.floating]
    kinds_M: tuple[str, ...]
    sources_M: tuple[str, ...]

    def take(self, chosen_M: NDArray[np.bool_]) -> "Negatives":
        kinds = tuple(kind for kind, one in zip(self.kinds_M, chosen_M, strict=True) if one)
        sources = tuple(source for source, one in zip(self.sources_M, chosen_M, strict=True) if one)
        return Negatives(self.features_MD[chosen_M], kinds, sources)


def fit_open_set(
    features_ND: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    groups_N: Sequence[str],
    num_classes: int,
    fitted_on: Negatives,
    tested_on: Negatives,
    *,
    data: str,
) -> OpenSetScore:
    """Both negatives hold synthetic footage; real footage, if any, is in both.

    Raises ValueError for too few groups, and for a class without clips.
    """
    if missing := sorted(set(range(num_classes)) - set(labels_N.tolist())):
        raise ValueError(f"classes {missing} have no clips to fit an open-set score on; give some")
    folds_N = _folds(groups_N)
    names = sorted(set(fitted_on.sources_M))
    folds_M = np.array([names.index(source) for source in fitted_on.sources_M]) % (folds_N.max() + 1)
    in_N, out_M = np.zeros(len(features_ND)), np.zeros(len(folds_M))
    test_scores = []
    for fold in range(folds_N.max() + 1):
        rest = fitted_on.take(folds_M != fold)
        part = _fit(features_ND[folds_N != fold], labels_N[folds_N != fold], rest)
        in_N[folds_N == fold] = part.scores(features_ND[folds_N == fold])
        if (folds_M == fold).any():
            out_M[folds_M == fold] = part.scores(fitted_on.features_MD[folds_M == fold])
        test_scores.append(part.scores(tested_on.features_MD))
    slope, offset = _logistic(in_N, out_M, _weights(fitted_on.kinds_M))
    is_real = np.array([not kind for kind in tested_on.kinds_M])
    test_M = np.mean(test_scores, axis=0)
    threshold = float(np.quantile(1 / (1 + np.exp(-(slope * in_N + offset))), 1 - KEPT))
    threshold = min(max(threshold, 0.001), 0.999)
    facts = OpenSetFacts(
        data=data,
        measured_on=f"{len(in_N)} in-domain clips out of fold, {is_real.sum()} real and {(~is_real).sum()} synthetic "
        "clips of none of the classes that it was not fitted on, the synthetic ones of other generators",
        threshold=threshold,
        bias=0.0,
        slope=slope,
        offset=offset,
        auroc=auroc(in_N, test_M[is_real]) if is_real.any() else None,
        auroc_synthetic=auroc(in_N, test_M[~is_real]),
        kept=float((1 / (1 + np.exp(-(slope * in_N + offset))) >= threshold).mean()),
    )
    return _fit(features_ND, labels_N, fitted_on, facts)


def auroc(in_N: NDArray[np.floating], out_M: NDArray[np.floating]) -> float:
    """How often an in-domain clip scores above one that is not, ties half."""
    higher = (in_N[:, None] > out_M[None]).mean() + 0.5 * (in_N[:, None] == out_M[None]).mean()
    return float(higher)


_UNSCALED = OpenSetFacts(
    data="one fold", measured_on="nothing", threshold=0.5, bias=0.0, slope=1.0, offset=0.0, auroc=None,
    auroc_synthetic=0.0, kept=0.0,
)  # fmt: skip


def _fit(
    features_ND: NDArray[np.floating],
    labels_N: NDArray[np.integer],
    negatives: Negatives,
    facts: OpenSetFacts = _UNSCALED,
) -> OpenSetScore:
    x_ND, x_MD = unit_features(features_ND), unit_features(negatives.features_MD)
    mean_D = x_ND.mean(axis=0)
    basis_RD = np.linalg.svd(x_ND - mean_D, full_matrices=False)[2][: min(RANK, len(x_ND) - 1)]
    z_NR = (x_ND - mean_D) @ basis_RD.T
    classes, place_N = np.unique(labels_N, return_inverse=True)  # a fold may lack one
    means_CR = np.array([z_NR[place_N == place].mean(axis=0) for place in range(len(classes))])
    deviation_NR = z_NR - means_CR[place_N]
    covariance_RR = deviation_NR.T @ deviation_NR / len(z_NR)
    identity_RR = np.eye(len(basis_RD))
    scale = max(np.trace(covariance_RR) / len(basis_RD), 1e-12)
    precision_RR = np.linalg.inv((1 - SHRINKAGE) * covariance_RR + SHRINKAGE * scale * identity_RR)
    kernel = _discriminant(x_ND - mean_D, x_MD - mean_D, _weights(negatives.kinds_M))
    # The distance is told relative to the usual one, so that its logarithm is about 0 in the domain.
    bias = float(np.log(np.median(nearest_distance(z_NR, means_CR, precision_RR))))
    return OpenSetScore(
        mean_D=mean_D.astype(np.float32),
        basis_RD=basis_RD.astype(np.float32),
        class_means_CR=means_CR.astype(np.float32),
        precision_RR=precision_RR.astype(np.float32),
        facts=facts.model_copy(update={"bias": bias}),
        kernel=kernel,
    )


def _discriminant(
    x_ND: NDArray[np.float64], x_MD: NDArray[np.float64], weights_M: NDArray[np.float64]
) -> KernelDiscriminant:
    """Kernel ridge regression of +1 (in) and -1 (out), both sides of equal weight, in the directions of all clips.

    A linear discriminant told fractals and pages of pictures of unfitted generators less well (decision 0076).
    """
    x = np.concatenate((x_ND, x_MD))
    target = np.concatenate((np.ones(len(x_ND)), -np.ones(len(x_MD))))
    weight = np.concatenate((np.full(len(x_ND), 0.5 / len(x_ND)), 0.5 * weights_M))
    axes_AD = np.linalg.svd(x, full_matrices=False)[2][:AXES]
    axes_AD = (np.sqrt(NARROWNESS) * axes_AD).astype(np.float16).astype(np.float32)  # as they will be read
    landmarks_LA = (x @ axes_AD.T).astype(np.float16).astype(np.float32)
    gram = gaussians(landmarks_LA, landmarks_LA) + np.diag(RIDGE / (weight * len(target)))
    weight_L = KERNEL_SCALE * np.linalg.solve(gram, target)
    return KernelDiscriminant(axes_AD, landmarks_LA, weight_L.astype(np.float32))


def _weights(kinds_M: Sequence[str]) -> NDArray[np.float64]:
    """Sum 1; real footage as much as all that is synthetic."""
    synthetic_M = np.array([bool(kind) for kind in kinds_M])
    weights_M = np.where(synthetic_M, 1 / max(synthetic_M.sum(), 1), 1 / max((~synthetic_M).sum(), 1))
    result: NDArray[np.float64] = weights_M / weights_M.sum()
    return result


def _logistic(
    in_N: NDArray[np.float64], out_M: NDArray[np.float64], weights_M: NDArray[np.float64]
) -> tuple[float, float]:
    """(slope, offset) of Platt (1999), with his targets, both sides of equal weight; Newton's method."""
    score = np.concatenate((in_N, out_M))
    high, low = (len(in_N) + 1) / (len(in_N) + 2), 1 / (len(out_M) + 2)
    target = np.concatenate((np.full(len(in_N), high), np.full(len(out_M), low)))
    weight = np.concatenate((np.full(len(in_N), 0.5 / len(in_N)), 0.5 * weights_M))
    design = np.stack((score, np.ones_like(score)), axis=1)
    found = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        probability = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        gradient = design.T @ (weight * (target - probability)) - 1e-6 * found
        curvature = (design.T * (weight * probability * (1 - probability))) @ design + 1e-6 * np.eye(2)
        found = found + np.clip(np.linalg.solve(curvature, gradient), -2, 2)
    if found[0] <= 0:
        raise ValueError(
            "the clips of the classes look no more alike than the footage of none of them; no open-set score can be "
            "fitted: check that --negatives shows none of the classes"
        )
    return float(found[0]), float(found[1])


def _folds(groups_N: Sequence[str]) -> NDArray[np.intp]:
    """By whole groups, the largest first, each to the smallest fold."""
    names, sizes = np.unique(np.asarray(groups_N), return_counts=True)
    num_folds = min(NUM_FOLDS, len(names))
    if num_folds < 2:
        raise ValueError("an open-set score is calibrated out of fold: the clips must be of two groups or more")
    totals, fold_of = np.zeros(num_folds, int), {}
    for place in np.argsort(-sizes, kind="stable"):
        fold_of[names[place]] = fold = int(totals.argmin())
        totals[fold] += sizes[place]
    return np.array([fold_of[group] for group in groups_N])
