"""TimeSformer behind the recognizer protocol: a view a step, the centre first, logits summed, on every runtime."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from models.recognizer import Frames
from models.runtime import Runtime, RuntimeConfig, make_runtime
from models.runtime.torch_runtime import tensors_on
from models.timesformer.config import TimeSformerConfig, tiny
from models.timesformer.costs import step_flops
from models.timesformer.folding import fold
from models.timesformer.network import TimeSformer, build_network
from models.timesformer.parts import make_recognizer
from models.timesformer.recognizer import TimeSformerRecognizer, TimeSformerState
from tests.timesformers import randomise
from video.clip import ClipRule

TINY = tiny()
RULE = ClipRule(TINY.num_frames, *TINY.frame_size, "three_crops")
SCHEMES = ("space", "joint", "divided", "local_global", "axial")
# Largest error of an encoder's features against fp32 torch, relative to the largest feature. In bf16 the tokens' sum,
# the norms and, in torch, the softmax stay wider: products are what is rounded.
TOLERANCES = {("torch", "fp32"): 1e-4, ("openvino", "fp32"): 1e-4, ("torch", "bf16"): 5e-2, ("openvino", "bf16"): 5e-2}


def is_here(kind: tuple[str, str]) -> bool:
    """Not where OpenVINO does not import, nor its bf16 on a CPU without such kernels."""
    try:
        make_runtime(RuntimeConfig(name=kind[0], precision=kind[1]))
    except ValueError:
        return False
    return True


all_kinds = pytest.mark.parametrize("kind", [kind for kind in TOLERANCES if is_here(kind)], ids="-".join)


@cache
def lively(scheme: str = "divided") -> TimeSformer:
    network = build_network(TimeSformerConfig.from_dict(TINY.to_dict() | {"scheme": scheme}), seed=0)
    randomise(network, seed=2)
    return network


@cache
def clips(count: int = 4) -> list[Frames]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (TINY.num_frames, *TINY.frame_size, 3), np.uint8) for _ in range(count)]


def runtime(kind: tuple[str, str] = ("torch", "fp32")) -> Runtime:
    return make_runtime(RuntimeConfig(name=kind[0], precision=kind[1], num_threads=1))


@cache
def recognizer(kind: tuple[str, str] = ("torch", "fp32")) -> TimeSformerRecognizer:
    return make_recognizer(lively(), RULE, [1.0, 1.0, 1.0], runtime(kind))


def run(kind: tuple[str, str] = ("torch", "fp32"), count: int = 4) -> list[list[TimeSformerState]]:
    """States of all clips, step by step."""
    states = [recognizer(kind).glance(clips(count))]
    for _ in range(2):
        states.append(recognizer(kind).focus(states[-1]))
    return states


def probabilities(states: Sequence[TimeSformerState]) -> np.ndarray:
    return np.stack([state.probabilities_C for state in states])


def test_each_of_three_steps_costs_one_view() -> None:
    assert recognizer().step_flops == step_flops(TINY)
    assert len(set(step_flops(TINY))) == 1
    assert recognizer().clip_rule == RULE
    assert recognizer().glance([]) == recognizer().focus([]) == []


def test_the_glance_is_the_centre_then_come_the_two_ends_and_logits_add_up() -> None:
    total = torch.zeros(4, 5)
    for step, (states, place) in enumerate(zip(run(), (1, 0, 2), strict=True)):
        views = np.stack([clip_THWC[:, :, 32 * place : 32 * (place + 1)] for clip_THWC in clips()])
        with torch.inference_mode():
            total = total + lively()(torch.from_numpy(views))
        np.testing.assert_allclose(probabilities(states), total.softmax(dim=1).numpy(), atol=1e-4)
        for state in states:
            assert state.step == step
            assert (state.cube is None) == (step == 0)
            if state.cube is not None:
                assert (state.cube.x, state.cube.width_px, state.cube.height_px) == (32 * place, 32, 32)
                assert (state.cube.t, state.cube.y, state.cube.num_frames) == (0, 0, TINY.num_frames)


def test_no_step_is_left_after_the_third_view() -> None:
    with pytest.raises(ValueError, match="at step 2 has no step left: this model looks at 3 views"):
        recognizer().focus(run()[-1])


def test_of_one_view_the_glance_is_all() -> None:
    config = replace(TINY, num_views=1)
    network = build_network(config, seed=0)
    randomise(network, seed=2)
    rule = ClipRule(TINY.num_frames, *config.frame_size, "center_crop")
    alone = make_recognizer(network, rule, [1.0], runtime())
    centres = [clip_THWC[:, :, 32:64] for clip_THWC in clips()]
    np.testing.assert_allclose(probabilities(alone.glance(centres)), probabilities(run()[0]), atol=1e-5)
    with pytest.raises(ValueError, match="no step left"):
        alone.focus(alone.glance(centres))


def test_rows_of_one_batch_may_stand_at_different_steps() -> None:
    glanced, once, twice = run()
    mixed = recognizer().focus([glanced[0], once[1], glanced[2]])
    np.testing.assert_allclose(probabilities(mixed), probabilities([once[0], twice[1], once[2]]), atol=1e-5)
    assert [state.step for state in mixed] == [1, 2, 1]


@pytest.mark.parametrize("scheme", SCHEMES)
@all_kinds
def test_encoders_agree_with_fp32_torch_within_their_stated_tolerance(scheme: str, kind: tuple[str, str]) -> None:
    encoder = lively(scheme).encoder
    views_NHWC = torch.from_numpy(np.concatenate([clip_THWC[:, :, :32] for clip_THWC in clips()]))
    with torch.inference_mode():
        wanted = encoder(views_NHWC)
    example = views_NHWC[: TINY.num_frames]
    found = runtime(kind).compile(fold(encoder), example, key=f"test {scheme}", one_by_one=True)(views_NHWC)
    assert ((found - wanted).abs().max() / wanted.abs().max()).item() < TOLERANCES[kind]


@all_kinds
def test_company_does_not_change_an_answer(kind: tuple[str, str]) -> None:
    for step, together in enumerate(run(kind)):
        states = [recognizer(kind).glance([clip])[0] for clip in clips()]
        for _ in range(step):
            states = [recognizer(kind).focus([state])[0] for state in states]
        assert np.abs(probabilities(together) - probabilities(states)).max() < 1e-3


def test_entropy_is_that_of_the_tempered_probabilities_of_each_step() -> None:
    warm = make_recognizer(lively(), RULE, [1.0, 2.0, 3.0], runtime())
    states, cold = warm.glance(clips()), run()
    for step in range(3):
        wanted = probabilities(cold[step]).astype(np.float64) ** (1 / (step + 1))
        wanted /= wanted.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(probabilities(states), wanted, atol=1e-4)
        entropies = -(wanted * np.log(wanted)).sum(axis=1)
        np.testing.assert_allclose([state.entropy_nats for state in states], entropies, atol=1e-3)
        if step < 2:
            states = warm.focus(states)


def test_later_changes_of_the_network_are_not_seen() -> None:
    network = build_network(TINY, seed=0)
    built = make_recognizer(network, RULE, [1.0] * 3, runtime())
    before = probabilities(built.glance(clips()))
    for parameter in network.parameters():
        parameter.data.zero_()
    assert np.array_equal(probabilities(built.glance(clips())), before)


class Exhausted:
    """A runtime whose device has no room left, in each allocator's own words."""

    name, precision, device = "torch", "fp32", torch.device("cpu")
    arrays = tensors_on(device)

    def __init__(self, error: RuntimeError) -> None:
        self.error = error

    def execute(self, *_: object, **__: object) -> object:
        def run(_: np.ndarray) -> torch.Tensor:
            raise self.error

        return run


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 12.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("Exception from src/inference: std::bad_alloc"),
    ],
    ids=["cuda", "cpu", "openvino"],
)
def test_without_memory_the_error_says_what_was_asked_and_the_way_out(error: RuntimeError) -> None:
    starved = make_recognizer(lively("joint"), RULE, [1.0] * 3, Exhausted(error))  # type: ignore[arg-type]
    with pytest.raises(MemoryError, match="2 views of 4 frames of 32 x 32 with joint attention do not fit the memory"):
        starved.glance(clips(2))
    broken = make_recognizer(lively(), RULE, [1.0] * 3, Exhausted(RuntimeError("a bug")))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="a bug"):
        broken.glance(clips(2))


@pytest.mark.parametrize(
    ("rule", "temperatures", "message"),
    [
        (replace(RULE, num_frames=8), [1.0] * 3, r"gives \(8, 32, 96\).* takes \(4, 32, 96\)"),
        (RULE, [1.0], "1 temperatures were given, but there are 3 exits"),
        (RULE, [1.0, 0.0, 1.0], "must be finite and above 0"),
        (replace(RULE, resize="center_crop"), [1.0] * 3, "a model of 3 views needs 'three_crops'"),
    ],
)
def test_what_does_not_fit_the_network_is_refused(rule: ClipRule, temperatures: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_recognizer(lively(), rule, temperatures, runtime())


def test_a_clip_that_breaks_the_rule_is_an_error_that_says_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"a clip is uint8 .* but must be uint8 \(4, 32, 96, 3\)"):
        recognizer().glance([np.zeros((4, 32, 32, 3), np.uint8)])
