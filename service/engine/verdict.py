"""Whether an answer has a label, or says that it does not know. Knows no engine, no network and no HTTP.

Nothing here is about when to stop: a video that nobody knows takes the steps that its entropies ask for, as any other.

Shape suffixes: C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fovea.words import AbstainReason


@dataclass(frozen=True, slots=True)
class Terms:
    """When to abstain. `known_from` is the model's threshold on in_domain; None: it has no open-set score."""

    min_score: float = 0.0
    abstain: bool = True
    known_from: float | None = None
    only: tuple[str, ...] = ()
    """Labels that may be told; none: all."""

    def told(self, labels: Sequence[str]) -> list[int]:
        """Places of those that may be told."""
        return [place for place, label in enumerate(labels) if not self.only or label in self.only]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A label, or the reason why there is none."""

    label: str | None
    reason: AbstainReason | None = None


def judge(
    probabilities_C: NDArray[np.float32], labels: Sequence[str], in_domain: float | None, terms: Terms
) -> Verdict:
    """Of the last step. `in_domain` is None where nothing tells it."""
    if terms.abstain and terms.known_from is not None and in_domain is not None and in_domain < terms.known_from:
        return Verdict(None, AbstainReason.NOT_KNOWN)
    best = max(terms.told(labels), key=lambda place: probabilities_C[place])
    if probabilities_C[best] < terms.min_score:
        return Verdict(None, AbstainReason.BELOW_MIN_SCORE)
    return Verdict(labels[best])
