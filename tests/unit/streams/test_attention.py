"""When keyframes are enough, and when every frame is decoded."""

import pytest

from fovea.words import Decode
from service.streams.attention import ENTROPY_CHANGE_NATS, MAX_QUIET_WINDOWS, QUIET_WINDOWS, Attention, Sight

QUIET = Sight("empty street", 0.2, settled=True)


def attention(asked: Decode = Decode.AUTO, *, window_s: float = 4.0) -> Attention:
    return Attention(asked, window_s=window_s, least_keyframes=4)


def show(watching: Attention, sight: Sight, times: int = 1, interval_s: float | None = 1.0) -> str:
    for _ in range(times):
        mode = watching.note(sight, interval_s)
    return mode


def test_full_decoding_sleeps_once_the_scene_was_quiet_for_a_while() -> None:
    watching = attention()
    assert show(watching, QUIET, QUIET_WINDOWS - 1) == "all"
    assert show(watching, QUIET) == "keyframes"


@pytest.mark.parametrize(
    "news",
    [
        Sight("car", 0.2, settled=True),
        Sight("empty street", 0.2 + 1.1 * ENTROPY_CHANGE_NATS, settled=True),
        Sight("empty street", 0.2, settled=False),
    ],
    ids=["another label", "another entropy", "a glance that was not enough"],
)
def test_news_wake_it_at_once(news: Sight) -> None:
    watching = attention()
    show(watching, QUIET, QUIET_WINDOWS)
    assert show(watching, news) == "all"
    assert show(watching, QUIET, 2) == "all"


def test_a_scene_that_is_never_settled_is_decoded_whole() -> None:
    assert show(attention(), Sight("crowd", 1.0, settled=False), 100) == "all"


@pytest.mark.parametrize(("interval_s", "mode"), [(None, "all"), (1.01, "all"), (1.0, "keyframes"), (0.5, "keyframes")])
def test_keyframes_do_only_where_enough_of_them_fall_in_a_window(interval_s: float | None, mode: str) -> None:
    assert show(attention(window_s=4.0), QUIET, QUIET_WINDOWS, interval_s) == mode


def test_keyframes_that_come_more_rarely_wake_it() -> None:
    watching = attention()
    show(watching, QUIET, QUIET_WINDOWS)
    assert show(watching, QUIET, interval_s=2.0) == "all"


def test_a_sleep_that_is_cut_short_needs_twice_as_long_a_quiet_the_next_time() -> None:
    watching = attention()
    needed = []
    for turn in range(8):
        windows = 0
        while watching.note(QUIET, 1.0) == "all":
            windows += 1
        needed.append(windows + 1)
        assert watching.note(Sight(f"keyframes look different {turn}", 0.2, settled=True), 1.0) == "all"
    assert needed[0] == QUIET_WINDOWS
    assert needed[1] == 2 * QUIET_WINDOWS + 1  # the first one differs from the news before it
    assert needed == sorted(needed)
    assert needed[-1] <= MAX_QUIET_WINDOWS + 1


def test_after_a_long_sleep_it_is_as_quick_as_ever() -> None:
    watching = attention()
    for _ in range(3):
        show(watching, QUIET, 10 * MAX_QUIET_WINDOWS)
        assert watching.mode == "keyframes"
        show(watching, Sight("car", 0.2, settled=True))
    assert show(watching, QUIET, QUIET_WINDOWS + 1) == "keyframes"


def test_after_a_break_everything_is_decoded_until_it_is_quiet_again() -> None:
    watching = attention()
    show(watching, QUIET, QUIET_WINDOWS)
    watching.start_anew()
    assert watching.mode == "all"
    assert show(watching, QUIET, QUIET_WINDOWS) == "keyframes"


@pytest.mark.parametrize(("asked", "mode"), [(Decode.ALL, "all"), (Decode.KEYFRAMES, "keyframes")])
def test_what_is_asked_for_by_name_stays(asked: Decode, mode: str) -> None:
    watching = attention(asked)
    assert show(watching, QUIET, 50) == mode
    watching.start_anew()
    assert show(watching, Sight("car", 1.5, settled=False)) == mode
