"""AdaFocusV3 behind the recognizer protocol: batches of glances, batches of cubes of clips at different steps.

Knows the shape of the computation, not what executes its parts (a runtime) nor who asks. Loads no torch: the parts are
functions between arrays, numpy's or torch's.

Shape suffixes: B clips, T frames (of the clip, the glance or a cube), N = B * T, H rows, W columns, C channels or
classes, h and w cells, D features, G / M what is remembered of the glance / of the cubes, K cubes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.adafocus.config import AdaFocusConfig
from models.adafocus.cubes import cut, place_cubes
from models.adafocus.glance_maps import GlanceMaps, Unseen, num_new, split_rows
from models.adafocus.placement import cut_windows, key_points, place_by_rule, without_key_points
from models.adafocus.recycling import recycled
from models.answers import answers, check_clip, check_rule
from models.executed import Executed
from models.recognizer import Ahead, Cube, Frames, Shared
from models.runtime.base import Array, Function
from video.clip import ClipRule


@dataclass(frozen=True, slots=True, eq=False)
class AdaFocusState:
    """One clip after a step. Arrays lie where the runtime computes, each alone: a state keeps no batch alive."""

    step: int
    probabilities_C: NDArray[np.float32]
    entropy_nats: float
    cube: Cube | None
    clip_THWC: Frames
    maps_TChw: Array | None
    """The policy's input, or the glance's described frames so far, whose key points place the cubes; None once they
    are."""
    glance_G: Array
    memory_M: Array
    logits_C: Array
    """What the step answers, before its temperature: the next one may keep a part of it."""
    cubes: tuple[Cube, ...]
    """What all steps after the glance look at, decided together at the first of them; empty before."""
    unseen: Unseen | None = None
    """Of a clip that shares frames, after the first part of its glance."""


class AdaFocusRecognizer:
    """Satisfies `models.recognizer.Recognizer[AdaFocusState]`, with the parts of `models.adafocus.parts` executed.

    `temperatures` has an entry per exit: logits are divided by it. Raises ValueError when the clip rule or the
    temperatures do not fit the configuration.
    """

    def __init__(
        self, config: AdaFocusConfig, clip_rule: ClipRule, temperatures: Sequence[float], executed: Executed
    ) -> None:
        self._clip_size = (config.num_frames, *config.frame_size)
        check_rule(clip_rule, self._clip_size, temperatures, config.num_steps + 1)
        self._config = config
        self._clip_rule = clip_rule
        self._temperatures = tuple(temperatures)
        self._arrays = executed.arrays
        self._prices = executed.prices
        functions = executed.functions
        self._first, self._remember, self._further = (functions[name] for name in ("first", "remember", "further"))
        glance, self._focus = (_looking(functions, name) for name in ("glance", "focus"))
        self._maps = GlanceMaps(self._arrays, glance)
        self._second, self._policy = functions.get("second"), functions.get("policy")
        self._parts = config.glance_parts
        self._motion, self._remember_motion = (functions.get(name) for name in ("motion", "remember_motion"))

    @property
    def clip_rule(self) -> ClipRule:
        return self._clip_rule

    @property
    def step_flops(self) -> tuple[int, ...]:
        return self._prices.step_flops

    @property
    def frame_flops(self) -> int | None:
        """See `models.recognizer.ReusesFrames`: with temporal shift, frames look at each other."""
        return self._prices.frame_flops

    @property
    def num_glance_frames(self) -> tuple[int, ...]:
        return tuple(map(len, self._parts))

    @property
    def glance_indices(self) -> tuple[int, ...]:
        """See `models.recognizer.ChoosesFrames`."""
        return self._config.glance_indices

    @property
    def step_indices(self) -> tuple[tuple[int, ...], ...]:
        """See `models.recognizer.ChoosesFrames`."""
        return self._config.step_indices

    def num_new_frames(self, shared: Shared) -> tuple[int, ...]:
        return num_new(shared, self._parts)

    def glance(self, clips_THWC: Sequence[Frames]) -> list[AdaFocusState]:
        """p_0 of each clip: where the glance comes in two parts, by the first. Raises ValueError for a clip that is not
        uint8 of the clip rule's shape."""
        return self.glance_sharing(clips_THWC, [None] * len(clips_THWC))

    def glance_sharing(self, clips_THWC: Sequence[Frames], shared: Sequence[Shared | None]) -> list[AdaFocusState]:
        """`glance`, looking at each different frame of a `Shared` clip once; a memory keeps what lies in its latest
        clip, also between the frames that this glance looks at: a window that moves by an odd number finds it there."""
        for clip_THWC in clips_THWC:
            check_clip(clip_THWC, self._clip_size)
        if not clips_THWC:
            return []
        maps_BTChw = self._maps.of(clips_THWC, shared, self._parts[0])
        glance_BG, memory_BM, logits_BC = self._first(maps_BTChw)
        found = answers(logits_BC, [self._temperatures[0]] * len(clips_THWC))
        copied = self._arrays.copy
        return [
            AdaFocusState(
                step=0,
                probabilities_C=probabilities_C,
                entropy_nats=entropy_nats,
                cube=None,
                clip_THWC=clip_THWC,
                maps_TChw=copied(maps_BTChw[row]),
                glance_G=copied(glance_BG[row]),
                memory_M=copied(memory_BM[row]),
                logits_C=copied(logits_BC[row]),
                cubes=(),
                unseen=Unseen.of(one, self._parts[1:]),
            )
            for row, (clip_THWC, one, (probabilities_C, entropy_nats)) in enumerate(
                zip(clips_THWC, shared, found, strict=True)
            )
        ]

    def glance_features(self, state: AdaFocusState) -> NDArray[np.float32]:
        """See `models.recognizer.TellsFeatures`: means of the glance's maps over its frames and their cells;
        of described frames the features, less the key points. Of a glance in two parts those of the first."""
        if state.step or state.maps_TChw is None:
            raise ValueError(f"a state at step {state.step} keeps no features of its glance; ask before the next step")
        seen = self._arrays.to_numpy(state.maps_TChw)
        if self._config.placement != "learned":
            described_D: NDArray[np.float32] = without_key_points(seen, self._config).mean(axis=0)
            return described_D
        features_D: NDArray[np.float32] = seen.mean(axis=(0, 2, 3))
        return features_D

    def focus(self, states: Sequence[AdaFocusState]) -> list[AdaFocusState]:
        """One step more for each clip; rows may stand at different steps. ValueError for one that has taken all."""
        self._check_steps_left(states)
        found: dict[int, AdaFocusState] = {}
        glancing, others = (
            [row for row, state in enumerate(states) if self._glances(state) is at] for at in (True, False)
        )
        for rows, look in ((glancing, self._glance_again), (others, self._next_cubes)):
            if rows:
                found |= zip(rows, look([states[row] for row in rows]), strict=True)
        return [found[row] for row in range(len(states))]

    def _glance_again(self, states: Sequence[AdaFocusState]) -> list[AdaFocusState]:
        """The second part of the glance: what is remembered and answered is of all its frames."""
        assert self._second is not None
        known = [None if one.unseen is None else one.unseen.alone() for one in states]
        rest_BTV = self._maps.of([state.clip_THWC for state in states], known, self._parts[1])
        in_time = np.argsort([index for part in self._parts for index in part])
        maps_B: list[Array] = []
        for state, rest_TV in zip(states, rest_BTV, strict=True):
            assert state.maps_TChw is not None
            seen = [*state.maps_TChw, *rest_TV]
            maps_B.append(self._arrays.stack([seen[place] for place in in_time]))
        for state, one in zip(states, known, strict=True):
            if state.unseen is not None and one is not None:
                state.unseen.shared.memory.update(one.memory)
        maps_BTV = self._arrays.stack(maps_B)
        glance_BG, _, own_BC = self._second(maps_BTV)
        copied = self._arrays.copy
        return [
            replace(state, maps_TChw=copied(maps_BTV[row]), glance_G=copied(glance_BG[row]), unseen=None)
            for row, state in enumerate(self._answered(states, own_BC))
        ]

    def _next_cubes(self, states: Sequence[AdaFocusState]) -> list[AdaFocusState]:
        states = self._with_cubes(states)
        memory_BM = self._remembered(states)
        glance_BG = self._arrays.stack([state.glance_G for state in states])
        own_BC = self._heads(glance_BG, memory_BM, [self._cubes_seen(state) + 1 for state in states])
        return [
            replace(state, cube=before.cubes[self._cubes_seen(before)], memory_M=self._arrays.copy(memory_BM[row]))
            for row, (before, state) in enumerate(zip(states, self._answered(states, own_BC), strict=True))
        ]

    def _answered(self, states: Sequence[AdaFocusState], own_BC: Array) -> list[AdaFocusState]:
        """Each one step further, where the head of that step says `own_BC`."""
        before_BC = self._arrays.stack([state.logits_C for state in states])
        logits_BC = recycled(own_BC, before_BC, self._config.recycled_share)
        found = answers(logits_BC, [self._temperatures[state.step + 1] for state in states])
        return [
            replace(
                state,
                step=state.step + 1,
                probabilities_C=probabilities_C,
                entropy_nats=entropy_nats,
                logits_C=self._arrays.copy(logits_BC[row]),
            )
            for row, (state, (probabilities_C, entropy_nats)) in enumerate(zip(states, found, strict=True))
        ]

    def _glances(self, state: AdaFocusState) -> bool:
        """Whether its next step is the second part of the glance."""
        return state.step + 1 < len(self._parts)

    def _cubes_seen(self, state: AdaFocusState) -> int:
        """After all of the glance; that of motion among them."""
        return state.step + 1 - len(self._parts)

    def _remembered(self, states: Sequence[AdaFocusState]) -> Array:
        """memory_BM with the next cube of each state: the first one shows motion, if any does."""
        if self._motion is None:
            return self._with_cube(states)
        glanced, others = (
            [row for row, state in enumerate(states) if (self._cubes_seen(state) == 0) is at] for at in (True, False)
        )
        found: dict[int, Array] = {}
        for rows, look in ((glanced, self._with_motion), (others, self._with_cube)):
            if rows:
                found |= zip(rows, look([states[row] for row in rows]), strict=True)
        return self._arrays.stack([found[row] for row in range(len(states))])

    def _with_cube(self, states: Sequence[AdaFocusState]) -> Array:
        """memory_BM with one cube more."""
        size = self._config.cube_size[1:]
        cubes = [(state.clip_THWC, state.cubes[self._cubes_seen(state)]) for state in states]
        crops_NHWC = np.concatenate([cut_windows(*one, size) if one[1].windows else cut(*one) for one in cubes])
        num_images = self._config.num_focus_images(self._config.cube_size[0])
        features_BTD = split_rows(self._focus(crops_NHWC), num_images)
        return self._remember(self._arrays.stack([state.memory_M for state in states]), features_BTD)

    def _with_motion(self, states: Sequence[AdaFocusState]) -> Array:
        """memory_BM with what changes between frames."""
        assert self._motion is not None
        assert self._remember_motion is not None
        config = self._config
        cubes = [(state.clip_THWC, state.cubes[self._cubes_seen(state)]) for state in states]
        pairs_NHWC = np.concatenate([cut_windows(*one, config.motion_window) for one in cubes])
        seen_BPD = split_rows(self._motion(pairs_NHWC), config.num_pairs)
        return self._remember_motion(self._arrays.stack([state.memory_M for state in states]), seen_BPD)

    def look_ahead(self, states: Sequence[AdaFocusState]) -> list[Ahead]:
        """See `models.recognizer.ChoosesFrames`: all cubes of a clip are placed at once, after all of its glance."""
        self._check_steps_left(states)
        found: dict[int, Ahead] = {}
        glanced = [row for row, state in enumerate(states) if not self._glances(state)]
        for row, state in zip(glanced, self._with_cubes([states[row] for row in glanced]), strict=True):
            seen = self._cubes_seen(state)
            found[row] = Ahead(state, _frames_of(state.cubes[seen : seen + 1]), _frames_of(state.cubes[seen + 1 :]))
        later = tuple(sorted({frame for frames in self._config.step_indices[2:] for frame in frames}))
        return [found[row] if row in found else Ahead(state, self._parts[1], later) for row, state in enumerate(states)]

    def _check_steps_left(self, states: Sequence[AdaFocusState]) -> None:
        for state in states:
            if state.step >= self._config.num_steps:
                raise ValueError(
                    f"a state at step {state.step} has no step left: this model takes {self._config.num_steps} after "
                    f"the first; glance at the clip again to start anew"
                )

    def _heads(self, glance_BG: Array, memory_BM: Array, steps: Sequence[int]) -> Array:
        """logits_BC: the head of a step is asked once, for all rows that stand there."""
        found: dict[int, Array] = {}
        for step in sorted(set(steps)):
            rows = [row for row, at in enumerate(steps) if at == step]
            found |= zip(rows, self._further(glance_BG[rows], memory_BM[rows], self._arrays.integer(step)), strict=True)
        return self._arrays.stack([found[row] for row in range(len(steps))])

    def _with_cubes(self, states: Sequence[AdaFocusState]) -> list[AdaFocusState]:
        """Cubes are placed once a clip, when it goes past p_0; the policy runs for all such rows together."""
        new = [state for state in states if state.maps_TChw is not None]
        if not new:
            return list(states)
        maps_BTChw = self._arrays.stack([state.maps_TChw for state in new])
        if self._policy is None:
            points_BTJ3 = key_points(self._arrays.to_numpy(maps_BTChw), self._config)
            placed = iter(
                [
                    place_by_rule(self._config, state.clip_THWC, *row)
                    for state, *row in zip(new, points_BTJ3, strict=True)
                ]
            )
        else:
            positions_BK3 = self._arrays.to_numpy(self._policy(maps_BTChw))
            placed = iter([place_cubes(positions_K3, self._config) for positions_K3 in positions_BK3])
        return [
            state if state.maps_TChw is None else replace(state, maps_TChw=None, cubes=next(placed)) for state in states
        ]


def _looking(functions: Mapping[str, Function], name: str) -> Function:
    """The encoder; where key points are found by its maps, they come behind its features."""
    look, points = functions[name], functions.get(f"{name}_points")
    return look if points is None else lambda frames_NHWC: points(*look(frames_NHWC))


def _frames_of(cubes: Sequence[Cube]) -> tuple[int, ...]:
    return tuple(sorted({index for cube in cubes for index in cube.frames}))
