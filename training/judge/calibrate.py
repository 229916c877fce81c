"""Calibrates a recognizer: a temperature per exit, then the thresholds of Eq. 7 on the tempered entropies.

Knows no architecture and no file: any recognizer, any clips. The clips must not have been trained on, or the
entropies are too low and the thresholds overspend in service.

Shape suffixes: N videos (in each deal of the folds), K steps (step 0: the glance or a part of it), C classes, T H W C
frames of one clip.
"""

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.bundle_format import Measured, MeasuredPoint
from models.calibration import Calibration
from models.exit_rules import ExitRule
from models.label_offsets import label_offsets
from models.recognizer import Frames, Recognizer, StateT
from models.smoothed_correctness import smoothed_correctness
from models.threshold_solver import NUM_BUDGETS, solve_grid
from models.thresholds import entropy_nats, exit_steps, log_softmax

LEAST_TEMPERATURE, GREATEST_TEMPERATURE = 0.05, 20.0
_GOLDEN = (math.sqrt(5) - 1) / 2
_NARROWINGS = 40  # of ln T: 0.618^40 of the range is 3e-8


def observe(
    recognizer: Recognizer[StateT], clips_THWC: Iterable[Frames], *, batch_size: int = 8
) -> NDArray[np.float64]:
    """Run every clip through all steps; log-probabilities of shape (N, K, C), finite.

    The recognizer's temperatures must all be 1. What underflowed to probability 0 counts as the least float32.
    """
    floor = np.finfo(np.float32).tiny
    batches = []
    remaining = iter(clips_THWC)
    while clips := list(itertools.islice(remaining, batch_size)):
        states = recognizer.glance(clips)
        steps = [states]
        for _ in recognizer.step_flops[1:]:
            states = recognizer.focus(states)
            steps.append(states)
        probabilities_KNC = np.array([[state.probabilities_C for state in states] for states in steps], np.float64)
        batches.append(np.log(np.maximum(probabilities_KNC, floor)).transpose(1, 0, 2))
    if not batches:
        raise ValueError("there are no clips; calibration needs at least as many as the model has exits")
    return np.concatenate(batches)


def calibrate(
    log_probs_NKC: NDArray[np.floating],
    labels_N: Sequence[int] | NDArray[np.integer],
    step_flops: Sequence[int],
    *,
    data: str,
    temperatures_K: Sequence[float] | None = None,
    num_budgets: int = NUM_BUDGETS,
    exit_rule: ExitRule = "entropy_by_label",
    majority_share: float | None = None,
    exit_rule_choice: str | None = None,
    num_deals: int = 1,
) -> Calibration:
    """Temperature per exit (fitted unless given), then a grid of solved budgets for the exit rule.

    `num_deals`: how many rows each video has, deal by deal (`Observations.num_deals`); it weighs as one, whatever they
    are. A budget holds for the mean over the deals.

    Thresholds are searched by smoothed correctness (`models.smoothed_correctness`).

    `log_probs_NKC` are logits up to a constant per row, as from `observe`. `data` says what the videos are.
    Raises ValueError for fewer videos than exits and for labels that do not fit.
    """
    labels = _checked(labels_N, log_probs_NKC)
    num_rows, num_steps, _ = log_probs_NKC.shape
    num_videos = num_rows // num_deals
    if num_videos < num_steps:
        raise ValueError(
            f"{num_videos} videos are fewer than the model's {num_steps} exits; thresholds solved on so few mean "
            "nothing: calibrate on more"
        )
    if temperatures_K is None:
        temperatures_K = [fit_temperature(log_probs_NKC[:, k], labels, num_videos) for k in range(num_steps)]
    entropy_NK, correct_NK = _outcomes(log_probs_NKC, labels, temperatures_K)
    top_label_NK = log_probs_NKC.argmax(axis=2).astype(np.int32)
    offsets = None
    if exit_rule == "entropy_by_label" and num_steps > 1:
        offsets = label_offsets(entropy_NK, correct_NK, top_label_NK, log_probs_NKC.shape[2], rows_a_video=num_deals)
    grid = solve_grid(
        entropy_NK,
        correct_NK,
        step_flops,
        num_budgets=num_budgets,
        worth_NK=smoothed_correctness(entropy_NK, correct_NK, rows_a_video=num_deals),
        offset_NK=None if offsets is None else offsets.of_videos(top_label_NK),
    )
    return Calibration(
        data,
        tuple(temperatures_K),
        entropy_NK,
        correct_NK,
        grid,
        top_label_NK,
        offsets,
        majority_share,
        exit_rule_choice,
        num_deals,
    )


def majority_share(labels_N: NDArray[np.integer], sources_N: Sequence[str]) -> float:
    """How many videos one would get right who knows their source, and always says its most frequent class."""
    sources = np.asarray(sources_N)
    right = sum(np.unique(labels_N[sources == source], return_counts=True)[1].max() for source in set(sources_N))
    return float(right / len(labels_N))


def measure(
    log_probs_NKC: NDArray[np.floating],
    labels_N: Sequence[int] | NDArray[np.integer],
    calibration: Calibration,
    *,
    data: str,
) -> Measured:
    """What every solved budget gives on other videos than those it was solved on: the bundle's frontier."""
    labels = _checked(labels_N, log_probs_NKC)
    entropy_NK, correct_NK = _outcomes(log_probs_NKC, labels, calibration.temperatures_K)
    num_videos, num_steps = correct_NK.shape
    held_NK = calibration.held_against_thresholds(entropy_NK, log_probs_NKC.argmax(axis=2))
    points = []
    for point in calibration.grid.points:
        steps_N = exit_steps(held_NK, point.solution.thresholds_nats)
        counts = np.bincount(steps_N, minlength=num_steps).tolist()
        correct = int(correct_NK[np.arange(num_videos), steps_N].sum())
        points.append(MeasuredPoint(videos_by_last_step_K=tuple(counts), correct=correct))
    return Measured(data=data, points=tuple(points))


def _checked(labels_N: Sequence[int] | NDArray[np.integer], log_probs_NKC: NDArray[np.floating]) -> NDArray[np.integer]:
    labels = np.asarray(labels_N)
    num_videos, _, num_classes = log_probs_NKC.shape
    if labels.shape != (num_videos,) or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"labels must be {num_videos} class numbers, one per video, in 0..{num_classes - 1}")
    return labels


def _outcomes(
    log_probs_NKC: NDArray[np.floating], labels_N: NDArray[np.integer], temperatures_K: Sequence[float]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(entropy_NK after the temperatures, correct_NK)."""
    tempered_NKC = log_probs_NKC / np.asarray(temperatures_K)[:, None]
    correct_NK: NDArray[np.bool_] = log_probs_NKC.argmax(axis=2) == labels_N[:, None]
    return entropy_nats(tempered_NKC).astype(np.float32), correct_NK


def fit_temperature(
    logits_NC: NDArray[np.floating], labels_N: NDArray[np.integer], num_videos: int | None = None
) -> float:
    """The T that makes softmax(logits / T) likeliest to say the labels (Guo et al., ICML 2017), in [0.05, 20].

    With a prior, or clips that were all right would make every later answer certain: two more clips, whose label may be
    any. It is Platt's (1999) for two classes, and matters for few clips alone. `num_videos`: where a video has several
    rows; None: as many as rows.

    Golden-section search of ln T: the negative log-likelihood is convex in 1 / T, hence has one valley. Where it only
    falls the search ends at a bound, never beyond.
    """

    prior = 2 / ((num_videos or len(labels_N)) + 2)

    def nll(log_temperature: float) -> float:
        log_probs_NC = log_softmax(logits_NC / math.exp(log_temperature))
        said = log_probs_NC[np.arange(len(labels_N)), labels_N]
        return -float(((1 - prior) * said + prior * log_probs_NC.mean(axis=1)).mean())

    low, high = math.log(LEAST_TEMPERATURE), math.log(GREATEST_TEMPERATURE)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    nll_left, nll_right = nll(left), nll(right)
    for _ in range(_NARROWINGS):
        if nll_left <= nll_right:
            high, right, nll_right = right, left, nll_left
            left = high - _GOLDEN * (high - low)
            nll_left = nll(left)
        else:
            low, left, nll_left = left, right, nll_right
            right = low + _GOLDEN * (high - low)
            nll_right = nll(right)
    best = (low + high) / 2
    return math.exp(best) if nll(best) < nll(0.0) - 1e-9 else 1.0  # logits that say nothing are left alone
