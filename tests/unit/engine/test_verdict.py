"""When an answer has a label, and what it says where it has none."""

import numpy as np
import pytest

from fovea.words import AbstainReason
from service.engine.verdict import Terms, Verdict, judge

PROBABILITIES_C = np.float32([0.3, 0.7])
LABELS = ("serve", "smash")


def judged(in_domain: float | None, **terms: object) -> Verdict:
    return judge(PROBABILITIES_C, LABELS, in_domain, Terms(**terms))  # type: ignore[arg-type]


def test_the_likeliest_label_is_the_answer_where_the_video_is_of_the_kind_the_model_knows() -> None:
    assert judged(0.5, known_from=0.5) == Verdict("smash")


def test_below_the_models_threshold_there_is_no_label() -> None:
    assert judged(0.49, known_from=0.5) == Verdict(None, AbstainReason.NOT_KNOWN)


def test_who_does_not_want_it_to_abstain_gets_a_label_all_the_same() -> None:
    assert judged(0.0, known_from=0.5, abstain=False) == Verdict("smash")


@pytest.mark.parametrize(("in_domain", "known_from"), [(None, None), (None, 0.5), (0.0, None)])
def test_a_model_without_a_score_never_says_that_it_does_not_know(
    in_domain: float | None, known_from: float | None
) -> None:
    assert judged(in_domain, known_from=known_from) == Verdict("smash")


def test_a_best_score_below_min_score_is_no_answer_with_or_without_abstaining() -> None:
    assert judged(1.0, min_score=0.71) == Verdict(None, AbstainReason.BELOW_MIN_SCORE)
    assert judged(1.0, min_score=0.71, abstain=False) == Verdict(None, AbstainReason.BELOW_MIN_SCORE)
    assert judged(1.0, min_score=0.69) == Verdict("smash")


def test_not_known_is_said_before_an_unlikely_label() -> None:
    assert judged(0.1, known_from=0.5, min_score=0.9).reason is AbstainReason.NOT_KNOWN
