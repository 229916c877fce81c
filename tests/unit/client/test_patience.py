"""When a client asks again: as the service says, where nothing is done twice, and not for ever."""

import pytest

from fovea.errors import DeadlineBeforeGlance, FoveaError, InvalidOption, Overloaded
from fovea.patience import Patience


def refused_by(patience: Patience, error: FoveaError) -> bool:
    try:
        patience.before_retry_s(error)
    except FoveaError:
        return True
    return False


def test_waits_as_long_as_the_service_says_or_a_little_longer() -> None:
    assert 3 <= Patience(60).before_retry_s(Overloaded("full", retry_after_s=3)) <= 3.75


@pytest.mark.parametrize(
    "error",
    [
        InvalidOption("no"),  # asking again would be refused again
        Overloaded("full"),  # nobody says when
        DeadlineBeforeGlance("late", retry_after_s=1),  # the caller's time is over
    ],
)
def test_an_error_that_asking_again_does_not_help_is_raised(error: FoveaError) -> None:
    assert refused_by(Patience(60), error)


def test_patience_ends_and_a_wait_beyond_it_is_not_begun() -> None:
    patience = Patience(10)
    assert not refused_by(patience, Overloaded("full", retry_after_s=6))
    assert refused_by(patience, Overloaded("full", retry_after_s=6))
    assert not refused_by(patience, Overloaded("full", retry_after_s=4))


def test_a_service_that_says_at_once_is_not_hammered() -> None:
    patience = Patience(3)
    waits_s = [patience.before_retry_s(Overloaded("full", retry_after_s=0)) for _ in range(3)]
    assert min(waits_s) >= 1
    assert refused_by(patience, Overloaded("full", retry_after_s=0))
