"""Video Mobile-Former behind the recognizer protocol: one step at a fixed price, the same on every runtime."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch

from models.mobile_former.config import mobile3d, tiny
from models.mobile_former.costs import step_flops
from models.mobile_former.folding import fold
from models.mobile_former.network import VideoMobileFormer, build_network
from models.mobile_former.parts import make_recognizer
from models.recognizer import Frames
from models.runtime import Runtime, RuntimeConfig, make_runtime
from models.single_pass import SinglePassRecognizer, SinglePassState
from video.clip import ClipRule

CONFIGS = {"former": tiny(), "mobile3d": mobile3d(tiny())}
TINY = CONFIGS["former"]
SPEC = ClipRule(TINY.num_frames, *TINY.frame_size, "letterbox")
# Largest error of an encoder's features against fp32 torch, relative to the largest feature.
TOLERANCES = {("torch", "fp32"): 1e-4, ("openvino", "fp32"): 1e-4, ("torch", "bf16"): 5e-2, ("openvino", "bf16"): 5e-2}


def is_here(kind: tuple[str, str]) -> bool:
    """Not where OpenVINO does not import, nor its bf16 on a CPU without such kernels."""
    try:
        make_runtime(RuntimeConfig(name=kind[0], precision=kind[1]))
    except ValueError:
        return False
    return True


all_kinds = pytest.mark.parametrize("kind", [kind for kind in TOLERANCES if is_here(kind)], ids="-".join)
all_forms = pytest.mark.parametrize("form", CONFIGS)


@cache
def clips(count: int = 4) -> list[Frames]:
    """Patches of their own colours and contrast, drifting."""
    found = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        rows, columns = TINY.frame_size
        picture = np.kron(random.uniform(0, 255, (4, 4, 3)) * random.uniform(0.2, 1), np.ones((8, 10, 1)))
        assert picture.shape == (rows, columns, 3)
        drift = random.integers(-4, 5, 2)
        found.append(
            np.stack([np.roll(picture, tuple(drift * t), (0, 1)) for t in range(TINY.num_frames)]).astype("u1")
        )
    return found


@cache
def settled(form: str) -> VideoMobileFormer:
    """Norms as if trained, and logits spread by about two, so that a rounding error has something to disturb."""
    network = build_network(CONFIGS[form], seed=0)
    batch_BTHWC = torch.from_numpy(np.stack(clips(8)))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm3d):
            module.momentum = None
    with torch.no_grad():
        network.train()(batch_BTHWC)
        logits_BC = network.eval()(batch_BTHWC)
        network.classifier.out.weight *= 2 / logits_BC.std(dim=0).mean()
    return network


def runtime(kind: tuple[str, str] = ("torch", "fp32")) -> Runtime:
    return make_runtime(RuntimeConfig(name=kind[0], precision=kind[1], num_threads=1))


@cache
def recognizer(kind: tuple[str, str] = ("torch", "fp32")) -> SinglePassRecognizer:
    return make_recognizer(settled("former"), SPEC, [1.0], runtime(kind))


def probabilities(states: Sequence[SinglePassState]) -> np.ndarray:
    return np.stack([state.probabilities_C for state in states])


def test_takes_one_step_at_the_price_of_the_configuration() -> None:
    assert recognizer().step_flops == step_flops(TINY)
    assert recognizer().clip_rule == SPEC
    (state,) = recognizer().glance(clips(1))
    assert (state.step, state.cube) == (0, None)
    with pytest.raises(ValueError, match="no step left: a Video Mobile-Former looks once"):
        recognizer().focus([state])
    assert recognizer().focus([]) == recognizer().glance([]) == []


@all_forms
@all_kinds
def test_encoders_agree_with_fp32_torch_within_their_stated_tolerance(form: str, kind: tuple[str, str]) -> None:
    encoder, frames_NHWC = settled(form).encoder, torch.from_numpy(np.concatenate(clips()))
    with torch.inference_mode():
        wanted = encoder(frames_NHWC)
    example = frames_NHWC[: TINY.num_frames]
    found = runtime(kind).compile(fold(encoder), example, key=f"test {form}", one_by_one=True)(frames_NHWC)
    assert ((found - wanted).abs().max() / wanted.abs().max()).item() < TOLERANCES[kind]


def test_answers_are_the_networks_own() -> None:
    with torch.inference_mode():
        wanted = settled("former")(torch.from_numpy(np.stack(clips()))).softmax(dim=1).numpy()
    assert np.abs(probabilities(recognizer().glance(clips())) - wanted).max() < 1e-4


@all_kinds
def test_company_does_not_change_an_answer(kind: tuple[str, str]) -> None:
    together = probabilities(recognizer(kind).glance(clips()))
    alone = probabilities([recognizer(kind).glance([clip])[0] for clip in clips()])
    assert np.abs(together - alone).max() < 1e-3


def test_entropy_is_that_of_the_tempered_probabilities() -> None:
    warm = make_recognizer(settled("former"), SPEC, [3.0], runtime())
    for cold, tempered in zip(recognizer().glance(clips()), warm.glance(clips()), strict=True):
        wanted = cold.probabilities_C.astype(np.float64) ** (1 / 3)
        wanted /= wanted.sum()
        assert np.allclose(tempered.probabilities_C, wanted, atol=1e-5)
        assert tempered.entropy_nats == pytest.approx(-(wanted * np.log(wanted)).sum(), abs=1e-4)


def test_later_changes_of_the_network_are_not_seen() -> None:
    network = build_network(TINY, seed=0)
    built = make_recognizer(network, SPEC, [1.0], runtime())
    before = probabilities(built.glance(clips()))
    for parameter in network.parameters():
        parameter.data.zero_()
    assert np.array_equal(probabilities(built.glance(clips())), before)


@pytest.mark.parametrize(
    "clip",
    [np.zeros((7, 32, 40, 3), np.uint8), np.zeros((8, 40, 32, 3), np.uint8), np.zeros((8, 32, 40, 3), np.float32)],
    ids=["a frame short", "turned", "not bytes"],
)
def test_a_clip_that_breaks_the_rule_is_an_error_that_says_both_shapes(clip: Frames) -> None:
    with pytest.raises(ValueError, match=r"a clip is (uint8|float32) .* but must be uint8 \(8, 32, 40, 3\)"):
        recognizer().glance([clip])


@pytest.mark.parametrize(
    ("spec", "temperatures", "message"),
    [
        (ClipRule(16, 32, 40, "letterbox"), [1.0], r"gives \(16, 32, 40\).* takes \(8, 32, 40\)"),
        (SPEC, [1.0, 1.0], "2 temperatures were given, but there are 1 exits"),
        (SPEC, [0.0], "must be finite and above 0"),
    ],
)
def test_what_does_not_fit_the_network_is_refused(spec: ClipRule, temperatures: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_recognizer(settled("former"), spec, temperatures, runtime())
