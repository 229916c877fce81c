"""AdaFocusV3 behind the recognizer protocol: batches of glances, batches of cubes of clips at different steps.

Knows the shape of the computation and its price, not what executes the heavy networks (a runtime) nor who asks.

Shape suffixes: B clips, T frames (of the clip, the glance or a cube), N = B * T, H rows, W columns, C channels or
classes, h and w cells, D features, G / M what is remembered of the glance / of the cubes, K cubes.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.adafocus.costs import glance_frame_flops, step_flops
from models.adafocus.cubes import cut, place_cubes
from models.adafocus.network import AdaFocusV3, split_rows
from models.answers import answers, cache_key, check_clip, check_rule
from models.recognizer import Cube, Frames, Shared
from models.runtime.base import Runtime
from video.clip import ClipRule


@dataclass(frozen=True, slots=True, eq=False)
class AdaFocusState:
    """One clip after a step. Tensors lie on the runtime's device, each alone: a state keeps no batch alive."""

    step: int
    probabilities_C: NDArray[np.float32]
    entropy_nats: float
    cube: Cube | None
    clip_THWC: Frames
    maps_TChw: Tensor | None
    """The policy's input; None once it has been asked."""
    glance_G: Tensor
    memory_M: Tensor
    cubes: tuple[Cube, ...]
    """All K, decided together at the first focus step; empty before."""


class AdaFocusRecognizer:
    """Satisfies `models.recognizer.Recognizer[AdaFocusState]`. The network is copied: later changes are not seen.

    `temperatures` has an entry per exit (K + 1): logits are divided by it. Raises ValueError when the clip rule or the
    temperatures do not fit the network.
    """

    def __init__(
        self, network: AdaFocusV3, clip_rule: ClipRule, temperatures: Sequence[float], runtime: Runtime
    ) -> None:
        config = network.config
        clip_size = (config.num_frames, *config.frame_size)
        check_rule(clip_rule, clip_size, temperatures, config.max_cubes + 1)
        self._config = config
        self._clip_rule = clip_rule
        self._temperatures = tuple(temperatures)
        self._device = runtime.device
        self._step_flops = step_flops(config)
        self._clip_size = clip_size
        glance_NHWC = torch.zeros(config.num_glance_frames, *config.frame_size, 3, dtype=torch.uint8)
        crops_NHWC = torch.zeros(*config.cube_size, 3, dtype=torch.uint8)
        self._run_glance = runtime.compile(
            network.glance, glance_NHWC, key=cache_key("adafocus-v3-glance", network.glance, config.to_dict())
        )
        self._run_focus = runtime.compile(
            network.focus, crops_NHWC, key=cache_key("adafocus-v3-focus", network.focus, config.to_dict())
        )
        self._policy = copy.deepcopy(network.policy).float().eval().to(self._device)
        self._classifier = copy.deepcopy(network.classifier).float().eval().to(self._device)

    @property
    def clip_rule(self) -> ClipRule:
        return self._clip_rule

    @property
    def step_flops(self) -> tuple[int, ...]:
        return self._step_flops

    @property
    def frame_flops(self) -> int | None:
        """See `models.recognizer.ReusesFrames`: with temporal shift, frames look at each other."""
        return None if self._config.temporal_shift else glance_frame_flops(self._config)

    @property
    def num_glance_frames(self) -> int:
        return self._config.num_glance_frames

    def num_new_frames(self, shared: Shared) -> int:
        return len(set(self._glance_keys(shared)) - shared.memory.keys())

    def glance(self, clips_THWC: Sequence[Frames]) -> list[AdaFocusState]:
        """p_0 of each clip. Raises ValueError for a clip that is not uint8 of the clip rule's shape."""
        return self.glance_sharing(clips_THWC, [None] * len(clips_THWC))

    @torch.inference_mode()
    def glance_sharing(self, clips_THWC: Sequence[Frames], shared: Sequence[Shared | None]) -> list[AdaFocusState]:
        """`glance`, looking at each different frame of a `Shared` clip once; a memory keeps what lies in its latest
        clip, also between the frames that this glance looks at: a window that moves by an odd number finds it there."""
        for clip_THWC in clips_THWC:
            check_clip(clip_THWC, self._clip_size)
        if not clips_THWC:
            return []
        maps_BTChw = self._glance_maps(clips_THWC, shared)
        glance_BG = self._classifier.remember_glance(maps_BTChw.mean(dim=(3, 4)))
        found = answers(self._classifier.glance_logits(glance_BG), [self._temperatures[0]] * len(clips_THWC))
        return [
            AdaFocusState(
                step=0,
                probabilities_C=probabilities_C,
                entropy_nats=entropy_nats,
                cube=None,
                clip_THWC=clip_THWC,
                maps_TChw=maps_BTChw[row].clone(),
                glance_G=glance_BG[row].clone(),
                memory_M=glance_BG.new_zeros(self._classifier.memory_size),
                cubes=(),
            )
            for row, (clip_THWC, (probabilities_C, entropy_nats)) in enumerate(zip(clips_THWC, found, strict=True))
        ]

    def _glance_maps(self, clips_THWC: Sequence[Frames], shared: Sequence[Shared | None]) -> Tensor:
        """maps_BTChw of the glance's frames, computed for those that no memory holds."""
        indices = self._config.glance_indices
        if all(one is None for one in shared):
            frames_NHWC = np.concatenate([clip_THWC[list(indices)] for clip_THWC in clips_THWC])
            return split_rows(self._run_glance(torch.from_numpy(frames_NHWC)), len(indices))
        rows: list[dict[int, Tensor | int]] = []  # of each clip: key to its map, or to its place among the new frames
        new_frames: list[Frames] = []
        for clip_THWC, one in zip(clips_THWC, shared, strict=True):
            row: dict[int, Tensor | int] = {}
            for index, key in zip(indices, indices if one is None else self._glance_keys(one), strict=True):
                if one is not None and key in one.memory:
                    row[key] = one.memory[key]
                elif key not in row:
                    row[key] = len(new_frames)
                    new_frames.append(clip_THWC[index])
            rows.append(row)
        new_NChw = self._run_glance(torch.from_numpy(np.stack(new_frames))) if new_frames else None
        maps_B: list[Tensor] = []
        for one, row in zip(shared, rows, strict=True):
            found = {key: _map_of(place, new_NChw) for key, place in row.items()}
            maps_B.append(torch.stack([found[key] for key in (indices if one is None else self._glance_keys(one))]))
            if one is not None:
                _forget_all_but(one.keys_T, one.memory)
                one.memory.update(
                    {key: map_Chw.clone() if isinstance(row[key], int) else map_Chw for key, map_Chw in found.items()}
                )
        return torch.stack(maps_B)

    def _glance_keys(self, shared: Shared) -> list[int]:
        return [shared.keys_T[index] for index in self._config.glance_indices]

    @torch.inference_mode()
    def focus(self, states: Sequence[AdaFocusState]) -> list[AdaFocusState]:
        """One cube more for each clip; rows may stand at different steps. ValueError for one that has seen all K."""
        for state in states:
            if state.step >= self._config.max_cubes:
                raise ValueError(
                    f"a state at step {state.step} has no step left: this model looks at {self._config.max_cubes} "
                    f"cubes; glance at the clip again to start anew"
                )
        if not states:
            return []
        states = self._with_cubes(states)
        steps = [state.step + 1 for state in states]
        cubes = [state.cubes[state.step] for state in states]
        crops_NHWC = np.concatenate([cut(state.clip_THWC, cube) for state, cube in zip(states, cubes, strict=True)])
        features_BTD = split_rows(
            self._run_focus(torch.from_numpy(crops_NHWC)), self._config.num_focus_images(self._config.cube_size[0])
        )
        memory_BM = self._classifier.merge(
            torch.stack([state.memory_M for state in states]), self._classifier.embed_cubes(features_BTD)
        )
        glance_BG = torch.stack([state.glance_G for state in states])
        logits_BC = self._classifier.step_logits(glance_BG, memory_BM, steps)
        found = answers(logits_BC, [self._temperatures[step] for step in steps])
        return [
            replace(
                state,
                step=step,
                probabilities_C=probabilities_C,
                entropy_nats=entropy_nats,
                cube=cube,
                memory_M=memory_BM[row].clone(),
            )
            for row, (state, step, cube, (probabilities_C, entropy_nats)) in enumerate(
                zip(states, steps, cubes, found, strict=True)
            )
        ]

    def _with_cubes(self, states: Sequence[AdaFocusState]) -> list[AdaFocusState]:
        """The policy runs once a clip, when it goes past p_0, for all such rows together."""
        maps = [state.maps_TChw for state in states if state.maps_TChw is not None]
        if not maps:
            return list(states)
        positions = iter(self._policy(torch.stack(maps)).cpu().numpy())
        return [
            state
            if state.maps_TChw is None
            else replace(state, maps_TChw=None, cubes=place_cubes(next(positions), self._config))
            for state in states
        ]


def _forget_all_but(keys_T: Sequence[int], memory: dict[int, Tensor]) -> None:
    for key in memory.keys() - set(keys_T):
        del memory[key]


def _map_of(place: Tensor | int, new_NChw: Tensor | None) -> Tensor:
    if isinstance(place, Tensor):
        return place
    assert new_NChw is not None
    return new_NChw[place]
