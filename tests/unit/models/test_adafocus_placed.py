"""AdaFocusV3 whose cubes a rule places: recognizer and network agree, batches do not matter, prices are exact."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.adafocus.config import NUM_KEY_POINTS, AdaFocusConfig
from models.adafocus.costs import frame_flops, step_flops
from models.adafocus.parts import heads, make_recognizer, parts
from models.adafocus.placed import PlacedAdaFocus, build_any
from models.adafocus.recognizer import AdaFocusRecognizer
from models.recognizer import Shared
from models.runtime import RuntimeConfig, make_runtime
from models.runtime.openvino_runtime import import_openvino

from .lively import EagerRuntime, assert_same, clip_rule, clips, run_alone
from .placed_cubes import CENTRE, IN_PARTS, MOTION, PERSON, RECYCLED, WITHOUT_LOCAL, WITHOUT_POINTS, lively_placed

FORMS = [
    PERSON,
    CENTRE,
    WITHOUT_LOCAL,
    WITHOUT_POINTS,
    MOTION,
    RECYCLED,
    IN_PARTS,
    replace(PERSON, glance_features=False),
]


def recognizer_of(network: PlacedAdaFocus, runtime: Any = None) -> AdaFocusRecognizer:
    config = network.config
    return make_recognizer(network, clip_rule(config), [1.0] * (config.num_steps + 1), runtime or EagerRuntime())


@pytest.mark.parametrize("config", FORMS)
def test_the_recognizer_answers_what_the_network_says_at_every_exit(config: AdaFocusConfig) -> None:
    network = lively_placed(config)
    some = clips(config, 3)
    with torch.inference_mode():
        probabilities_BEC = network(torch.from_numpy(np.stack(some))).logits_BEC.softmax(dim=2).numpy()
    for clip_THWC, wanted_EC in zip(some, probabilities_BEC, strict=True):
        found = [state.probabilities_C for state in run_alone(recognizer_of(network), clip_THWC)]
        np.testing.assert_allclose(np.stack(found), wanted_EC, atol=1e-5)


def test_answers_do_not_depend_on_the_company_and_cubes_follow_the_clip() -> None:
    recognizer = recognizer_of(lively_placed())
    some = clips(PERSON, 4)
    alone = [run_alone(recognizer, clip_THWC) for clip_THWC in some]
    together = recognizer.glance(some)
    first = recognizer.focus(together)
    mixed = recognizer.focus([first[0], together[1], first[2]])
    for row, (states, state) in enumerate(zip(alone, first, strict=True)):
        assert_same(state, states[1])
        assert state.cube == state.cubes[0], row
        assert state.cube is not None
        assert state.cube.frames == PERSON.step_frames[0]
    assert_same(mixed[0], alone[0][2])
    assert_same(mixed[1], alone[1][1])
    assert_same(mixed[2], alone[2][2])
    assert len({state.cubes for state in first}) == len(some)


def test_what_a_cube_shows_changes_the_answer_and_what_no_step_looks_at_does_not() -> None:
    recognizer = recognizer_of(lively_placed(CENTRE))
    (clip_THWC,) = clips(CENTRE, 1)
    before = run_alone(recognizer, clip_THWC)
    blind_THWC = clip_THWC.copy()
    blind_THWC[[2, 4]] = 0  # none of the glance's
    assert all(
        map(
            lambda a, b: np.array_equal(a.probabilities_C, b.probabilities_C), before, run_alone(recognizer, blind_THWC)
        )
    )


@pytest.mark.parametrize("config", FORMS)
def test_prices_are_what_torch_counts(config: AdaFocusConfig) -> None:
    network = lively_placed(config)
    recognizer = recognizer_of(network)
    assert recognizer.step_flops == step_flops(config)
    states: Any = clips(config, 1)
    for step in (recognizer.glance, *[recognizer.focus] * config.num_steps):
        with FlopCounterMode(display=False) as counter:
            states = step(states)
        assert counter.get_total_flops() == 2 * step_flops(config)[states[0].step]


def test_overlapping_windows_share_the_glance_of_frames_they_have_in_common() -> None:
    runtime = EagerRuntime()
    recognizer = recognizer_of(lively_placed(), runtime)
    frames_NHWC = np.concatenate(clips(PERSON, 2))
    memory: dict[int, Any] = {}
    assert frame_flops(PERSON) == recognizer.frame_flops
    recognizer.glance_sharing([frames_NHWC[:6]], [Shared(tuple(range(6)), memory)])
    moved = tuple(range(2, 8))
    assert recognizer.num_new_frames(Shared(moved, memory)) == (2,)  # 2 and 7; 3 and 5 are known
    (shared,) = recognizer.glance_sharing([frames_NHWC[list(moved)]], [Shared(moved, memory)])
    (alone,) = recognizer.glance([frames_NHWC[list(moved)]])
    assert_same(shared, alone)
    assert_same(recognizer.focus([shared])[0], recognizer.focus([alone])[0])


@pytest.mark.skipif(import_openvino() is None, reason="OpenVINO does not import here")
@pytest.mark.parametrize("config", [PERSON, WITHOUT_LOCAL, WITHOUT_POINTS, MOTION, IN_PARTS])
def test_every_part_is_converted_and_gives_what_torch_gives(config: AdaFocusConfig) -> None:
    """Each on what torch gave before it: of an untrained network two cells may be as hot as each other to the last bit,
    and then a key point may jump between them."""
    stated = parts(lively_placed(config))
    ours, theirs = (
        {name: runtime.execute(part, key=name) for name, part in stated.items()}
        for runtime in (
            make_runtime(RuntimeConfig(name=name, precision="fp32", num_threads=1)) for name in ("openvino", "torch")
        )
    )

    def compared(name: str, *arguments: Any) -> Any:
        found = ours[name](*(np.asarray(argument) for argument in arguments))
        wanted = theirs[name](*(torch.as_tensor(argument) for argument in arguments))
        pairs = zip(found, wanted, strict=True) if isinstance(wanted, tuple) else [(found, wanted)]
        for one, other in pairs:
            np.testing.assert_allclose(one, other.numpy(), atol=1e-3, rtol=1e-4)
        return wanted

    def look(name: str, frames_NHWC: Any, clips: int) -> Any:
        seen = compared(name, frames_NHWC)
        described_NV = compared(f"{name}_points", *seen) if config.key_points else seen
        return described_NV.view(clips, -1, described_NV.shape[1])

    some = np.stack(clips(config, 2))
    glanced_BTV = look("glance", some[:, list(config.glance_indices)].reshape(-1, 56, 72, 3), 2)
    if config.first_glance_indices:
        compared("first", glanced_BTV[:, : len(config.first_glance_indices)])
    glance_BG, memory_BM, _ = compared("second" if config.first_glance_indices else "first", glanced_BTV)
    for step, seed in ((1, 5), (2, 6)):
        crops_NHWC = np.random.default_rng(seed).integers(0, 256, (4, 32, 32, 3), np.uint8)
        memory_BM = compared("remember", memory_BM, look("focus", crops_NHWC, 2))
        compared("further", glance_BG, memory_BM, np.array([step]))


def test_a_step_looks_at_its_own_frames_which_the_glance_has_seen_already() -> None:
    recognizer = recognizer_of(lively_placed())
    (ahead,) = recognizer.look_ahead(recognizer.glance(clips(PERSON, 1)))
    assert (ahead.next_indices, ahead.later_indices) == PERSON.step_frames
    assert recognizer.step_indices == (PERSON.glance_indices, *PERSON.step_frames)
    assert {*ahead.next_indices, *ahead.later_indices} <= set(recognizer.step_indices[0])


def test_parts_are_those_that_a_light_start_converts() -> None:
    names = set(parts(lively_placed()))
    assert names == {"glance", "glance_points", "focus", "focus_points", "first", "remember", "further"}
    assert set(parts(lively_placed(WITHOUT_POINTS))) == names - {"glance_points", "focus_points"}
    assert len(heads(lively_placed())) == PERSON.max_cubes + 1


def test_directions_of_the_body_tell_how_limbs_are_held_however_long_they_are() -> None:
    classifier = lively_placed().classifier
    short_BSQ = torch.zeros(1, classifier.slots, NUM_KEY_POINTS, 3)
    elbow, wrist = 7, 9
    short_BSQ[0, :, wrist, :2] = torch.tensor([0.6, 0.8])
    long_BSQ = short_BSQ.clone()
    long_BSQ[0, :, wrist, :2] *= 3
    of = list(zip(classifier.first_L.tolist(), classifier.second_L.tolist(), strict=True)).index((elbow, wrist))
    for points_BSQ in (short_BSQ, long_BSQ):
        directions_BSL2 = classifier._directions(points_BSQ.flatten(2)).unflatten(2, (-1, 2))
        torch.testing.assert_close(directions_BSL2[0, 0, of], torch.tensor([0.6, 0.8]), atol=2e-3, rtol=0)
        assert directions_BSL2[0, 0, of - 1].square().sum() < 1.001
    still_BSQ = torch.zeros_like(short_BSQ).flatten(2)
    assert not classifier._directions(still_BSQ).any()


def test_a_configuration_survives_json_and_old_ones_are_read_as_before() -> None:
    assert AdaFocusConfig.from_dict(json.loads(json.dumps(PERSON.to_dict()))) == PERSON
    values = replace(PERSON, **LEARNED).to_dict()
    for name in ("placement", "step_frames", "middle_features", "key_points", "local_features", "body_directions"):
        del values[name]
    for encoder in ("glance", "focus"):
        del values[encoder]["padding"]
    old = AdaFocusConfig.from_dict(json.loads(json.dumps(values)))
    assert old.placement == "learned"
    assert old.glance.padding == "symmetric"
    assert not isinstance(build_any(old, 0), PlacedAdaFocus)
    assert isinstance(build_any(PERSON, 0), PlacedAdaFocus)


LEARNED: dict[str, Any] = {
    "placement": "learned", "step_frames": (), "middle_features": False, "key_points": False,
    "local_features": False, "body_directions": False,
    "aggregation": "joint_statistics",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"placement": "luck"}, "placement is 'luck'"),
        ({"placement": "learned"}, "pooled_roots"),
        ({"aggregation": "average"}, "pooled_roots"),
        (LEARNED | {"key_points": True}, "key_points is True"),
        (LEARNED | {"step_frames": ((0, 1),)}, "step_frames is"),
        ({"key_points": False}, "needs key_points"),
        ({"key_points": False, "placement": "centre"}, "local_features are read at key points"),
        (LEARNED | {"body_directions": True}, "body_directions is True"),
        (
            {"key_points": False, "placement": "centre", "local_features": False},
            "body_directions are those of key points",
        ),
        ({"glance": replace(PERSON.glance, width_mult=0.2)}, "as wide in the glance"),
        ({"step_frames": ((1, 3),)}, r"must be 2 \(max_cubes\)"),
        ({"step_frames": ((1, 3), (0,))}, "must be 2"),
        ({"step_frames": ((3, 1), (0, 5))}, "must rise"),
        ({"step_frames": ((1, 3), (3, 5))}, "in two"),
        ({"step_frames": ((1, 2), (0, 5))}, r"name \[2\]"),
        ({"focus_input": "differences"}, "no differences"),
        ({"temporal_shift": True}, "no temporal_shift"),
        ({"frame_size": (80, 96)}, "less than half"),
        ({"glance_size": (32, 48)}, "multiples of 32"),
        ({"middle_features": 1}, "true or false"),
    ],
)
def test_an_impossible_placement_is_refused_with_its_value_and_rule(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(PERSON, **change)
