"""How likely an answer is right, from how sure the model was: what the threshold search maximises in place of counts.

Knows no threshold and no price. Whether one video of a few hundred was right is mostly luck; a search over 0/1 counts
learns that luck. A curve through it has three numbers per exit to learn, and does not.

Shape suffixes: N calibration videos, K steps (step 0: the glance or a part of it), F features of the curve.
"""

import numpy as np
from numpy.typing import NDArray

_PENALTY = 1.0  # on the slopes, for standardised entropies: a weak pull towards "entropy says nothing"
_NUM_ROUNDS = 30  # of Newton's method; it settles in 5 to 10
_ENOUGH = 1e-8


def smoothed_correctness(
    entropy_NK: NDArray[np.float32], correct_NK: NDArray[np.bool_], *, rows_a_video: int = 1
) -> NDArray[np.float64]:
    """worth_NK in (0, 1): a logistic curve per exit in the entropies of the first exit and of this one.

    Its mean over the videos is that of `correct_NK`, exit by exit (up to the half a right and half a wrong video that
    keep it finite where all are right). Several rows of one video weigh as one.
    """
    worth_NK = np.empty(entropy_NK.shape)
    for k in range(entropy_NK.shape[1]):
        columns = [entropy_NK[:, 0]] if k == 0 else [entropy_NK[:, 0], entropy_NK[:, k]]
        worth_NK[:, k] = _logistic(np.stack(columns, axis=1).astype(np.float64), correct_NK[:, k], rows_a_video)
    return worth_NK


def _logistic(values_NF: NDArray[np.float64], correct_N: NDArray[np.bool_], rows_a_video: int) -> NDArray[np.float64]:
    """Fitted by Newton's method; the intercept is free, the slopes are penalised."""
    deviation_F = values_NF.std(axis=0)
    standard_NF = (values_NF - values_NF.mean(axis=0)) / np.where(deviation_F > 0, deviation_F, 1.0)
    rows_NF = np.concatenate([np.ones((len(values_NF), 1)), standard_NF], axis=1)
    num = len(rows_NF) / rows_a_video
    target_N = (correct_N * (num - 1) + 0.5) / num  # never all right, never all wrong
    penalty_F = np.array([0.0] + [_PENALTY * rows_a_video] * (rows_NF.shape[1] - 1))
    weight_F = np.zeros(rows_NF.shape[1])
    weight_F[0] = np.log(target_N.mean() / (1 - target_N.mean()))
    for _ in range(_NUM_ROUNDS):
        worth_N = _sigmoid(rows_NF @ weight_F)
        gradient_F = rows_NF.T @ (target_N - worth_N) - penalty_F * weight_F
        curvature_FF = (rows_NF * (worth_N * (1 - worth_N))[:, None]).T @ rows_NF + np.diag(penalty_F)
        curvature_FF[0, 0] += 1e-9
        move_F = np.linalg.solve(curvature_FF, gradient_F)
        weight_F = weight_F + np.clip(move_F, -2.0, 2.0)  # a full step may overshoot far from the optimum
        if np.abs(move_F).max() < _ENOUGH:
            break
    return _sigmoid(rows_NF @ weight_F)


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(values, -30, 30)))
    return result
