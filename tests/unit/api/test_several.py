"""Several videos of one request: which lists may be given again to whoever sends the same Idempotency-Key."""

import pytest

from fovea.answers import Problem, RecognitionList
from fovea.errors import DeadlineBeforeGlance, FoveaError, InferenceFailed, Overloaded, QuotaExceeded, VideoUnreadable
from service.api.edge.problems import problem_of
from service.api.recognitions.several import is_settled


@pytest.mark.parametrize(
    ("error", "settled"),
    [
        (VideoUnreadable("no frame of it could be decoded"), True),
        (Overloaded("all places are taken"), False),
        (QuotaExceeded("all of it is spent"), False),
        (DeadlineBeforeGlance("too late"), False),
        (InferenceFailed("the glance failed"), False),
    ],
)
def test_a_list_is_given_again_unless_one_of_its_videos_may_be_answered_next_time(
    error: FoveaError, settled: bool
) -> None:
    unreadable = Problem.model_validate(problem_of(VideoUnreadable("it is text"), "req_1"))
    answers = RecognitionList(recognitions=[unreadable, Problem.model_validate(problem_of(error, "req_1"))])
    assert is_settled(answers) is settled
