"""Exits that keep a part of what the exit before them answered."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.adafocus.config import AdaFocusConfig
from models.adafocus.parts import make_recognizer
from models.adafocus.recycling import answered, recycled
from models.adafocus.shapes import tiny

from .lively import EagerRuntime, clip_rule, clips, run_alone
from .placed_cubes import MOTION, RECYCLED, lively_placed

SHARE = RECYCLED.recycled_share


@settings(max_examples=60, deadline=None)
@given(
    logits=st.lists(st.lists(st.floats(-50, 50), min_size=3, max_size=3), min_size=1, max_size=5),
    share=st.floats(0, 0.99),
)
def test_an_exit_weighs_all_before_it_less_the_longer_ago(logits: list[list[float]], share: float) -> None:
    own = [np.array([one]) for one in logits]
    given_to = answered(own, share)
    for step, found_BC in enumerate(given_to):
        weights = [(1 - share) * share ** (step - before) for before in range(1, step + 1)]
        wanted_BC = share**step * own[0] + sum(
            (weight * one for weight, one in zip(weights, own[1:], strict=False)), np.zeros((1, 3))
        )
        np.testing.assert_allclose(found_BC, wanted_BC, atol=1e-9)
    assert given_to[0] is own[0]


def test_without_a_share_a_head_is_asked_alone_to_the_bit() -> None:
    own_BC = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    assert recycled(own_BC, np.full_like(own_BC, np.nan), 0.0) is own_BC


def test_the_recognizer_keeps_the_share_of_the_step_before_whatever_its_temperature() -> None:
    (clip_THWC,) = clips(MOTION, 1)
    rule, num_exits = clip_rule(MOTION), MOTION.num_steps + 1
    plain = run_alone(make_recognizer(lively_placed(MOTION), rule, [1.0] * num_exits, EagerRuntime()), clip_THWC)
    wanted_EC = answered([state.logits_C[None] for state in plain], SHARE)
    for temperatures in ([1.0] * num_exits, [2.0, 0.5, 3.0, 0.7]):
        found = run_alone(make_recognizer(lively_placed(RECYCLED), rule, temperatures, EagerRuntime()), clip_THWC)
        for state, wanted_1C, temperature in zip(found, wanted_EC, temperatures, strict=True):
            tempered_C = np.asarray(wanted_1C)[0] / temperature
            wanted_C = np.exp(tempered_C - tempered_C.max())
            np.testing.assert_allclose(state.probabilities_C, wanted_C / wanted_C.sum(), atol=1e-5)
    assert not np.allclose(found[-1].logits_C, plain[-1].logits_C)


@pytest.mark.parametrize("share", [-0.1, 1, 1.0, float("nan"), "0.2", True])
def test_a_share_that_cannot_be_is_refused_with_its_rule(share: Any) -> None:
    with pytest.raises(ValueError, match=r"recycled_share is .* must lie in \[0, 1\): 0 asks"):
        replace(MOTION, recycled_share=share)


@pytest.mark.parametrize("share", [None, "", False, (), -0.1])
def test_a_share_that_cannot_be_is_refused_for_learned_cubes_too(share: Any) -> None:
    with pytest.raises(ValueError, match=r"recycled_share is .* must lie in \[0, 1\)"):
        replace(tiny(), recycled_share=share)


def test_it_is_not_for_learned_cubes() -> None:
    with pytest.raises(ValueError, match=r"recycled_share is 0\.2, but belongs to another placement"):
        replace(tiny(), recycled_share=0.2)


def test_it_survives_json_and_configurations_from_before_have_none() -> None:
    values = json.loads(json.dumps(RECYCLED.to_dict()))
    assert AdaFocusConfig.from_dict(values) == RECYCLED
    del values["recycled_share"]
    assert AdaFocusConfig.from_dict(values) == MOTION
