"""When a client asks again: as the service says, where nothing is done twice, and not for ever."""

import pytest

from fovea._retry import Retry
from fovea.errors import DeadlineBeforeGlance, FoveaError, InvalidOption, Overloaded


def refused_by(retry: Retry, error: FoveaError) -> bool:
    try:
        retry.wait_s(error)
    except FoveaError:
        return True
    return False


def test_waits_as_long_as_the_service_says_or_a_little_longer() -> None:
    assert 3 <= Retry(60).wait_s(Overloaded("full", retry_after_s=3)) <= 3.75


@pytest.mark.parametrize(
    "error",
    [
        InvalidOption("no"),  # asking again would be refused again
        Overloaded("full"),  # nobody says when
        DeadlineBeforeGlance("late", retry_after_s=1),  # the caller's time is over
    ],
)
def test_an_error_that_asking_again_does_not_help_is_raised(error: FoveaError) -> None:
    assert refused_by(Retry(60), error)


def test_the_waiting_time_ends_and_a_wait_beyond_it_is_not_begun() -> None:
    retry = Retry(10)
    assert not refused_by(retry, Overloaded("full", retry_after_s=6))
    assert refused_by(retry, Overloaded("full", retry_after_s=6))
    assert not refused_by(retry, Overloaded("full", retry_after_s=4))


def test_a_service_that_says_at_once_is_not_hammered() -> None:
    retry = Retry(3)
    waits_s = [retry.wait_s(Overloaded("full", retry_after_s=0)) for _ in range(3)]
    assert min(waits_s) >= 1
    assert refused_by(retry, Overloaded("full", retry_after_s=0))
