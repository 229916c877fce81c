"""A missing component skips a test on a developer's machine and fails it in CI; tiers are where they are said to be."""

import os

import pytest

from tests.conftest import STRICT, TESTS, TIERS, require


def test_a_missing_component_skips_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STRICT, raising=False)
    with pytest.raises(pytest.skip.Exception, match="promtool is missing"):
        require(False, "promtool")


def test_a_missing_component_fails_in_strict_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STRICT, "1")
    with pytest.raises(pytest.fail.Exception, match=r"promtool is missing.*`make test` installs it"):
        require(False, "promtool")


@pytest.mark.parametrize("name", TIERS)
def test_whatever_has_a_tier_is_there(name: str) -> None:
    assert (TESTS / name).exists(), f"{name} is gone: take it out of TIERS"


@pytest.mark.parametrize("turn", ["first", "second"])
def test_what_a_test_sets_in_the_environment_does_not_outlive_it(turn: str) -> None:
    assert "FOVEA_LEFT_BEHIND" not in os.environ
    os.environ["FOVEA_LEFT_BEHIND"] = turn
