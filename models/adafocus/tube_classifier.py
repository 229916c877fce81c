"""Linear heads on all frames seen so far: those of the glance, and the windows that cubes show, whatever their order.

Where cubes show frames by themselves, a cube has little to say about change; all cubes so far have more. So what is
remembered are the frames: each head pools over those seen by then, in the order of time. Knows no pixels.

A described frame is its features and, where the configuration has `key_points`, 17 times (y, x, score); between them,
with `local_features`, what some maps hold at the key points.

Shape suffixes: B clips, T frames (of the glance, of a cube), S frames that all cubes show together, K steps, V numbers
of a described frame, D features, J key points, L pairs of the body's, P pairs of frames, G / M what is remembered of
the glance / of the steps after it (S * V, and behind that of motion), F what a head is given, C classes.
"""

from collections.abc import Sequence
from itertools import combinations, pairwise

import torch
from torch import Tensor, nn

from models.adafocus.classifier import StepHeads
from models.adafocus.config import DESCRIBED_LAYERS, NUM_KEY_POINTS, AdaFocusConfig
from models.backbones.widths import map_widths

_LEAST = 1e-6  # keeps the root's gradient finite where there is nothing
_LEAST_SPREAD = 1e-3  # of key points, in sides of a window
_FARTHEST = 4.0  # a key point from the middle of all, in their spreads: those that jump say nothing
_BODY = (0, *range(5, NUM_KEY_POINTS))  # the nose, and all but eyes and ears
_NEAR = 0.05  # points so near to each other, in their spreads, lie in no sure direction


class TubeClassifier(nn.Module):
    """`middle` of the features come first: they are a block of their own for `training.fit.heads`."""

    frames_KS: Tensor
    pairs_KP: Tensor
    first_P: Tensor
    second_P: Tensor
    first_L: Tensor
    second_L: Tensor

    def __init__(self, config: AdaFocusConfig, num_features: int, middle: int) -> None:
        super().__init__()
        self.blocks = tuple(filter(None, (middle, num_features - middle)))
        self.num_features = num_features
        self.local = tuple(NUM_KEY_POINTS * width for width in config.local_widths)
        self.described = num_features + sum(self.local) + (3 * NUM_KEY_POINTS if config.key_points else 0)
        self.per_step, self.glance_features = config.cube_size[0], config.glance_features
        self.slots = self.per_step * config.max_cubes
        self.of_cubes = self.slots * self.described
        self.motion_blocks = _motion_blocks(config)
        self.memory_size = self.of_cubes + sum(self.motion_blocks)
        self.dropout = nn.Dropout(config.dropout)
        tables = _tables(config)
        for name, table in zip(("frames_KS", "pairs_KP", "first_P", "second_P"), tables, strict=True):
            self.register_buffer(name, table, persistent=False)
        self.glance_blocks = tuple(3 * block for block in self.blocks)
        self.pooled_glance = sum(self.glance_blocks)
        self.step_blocks = self.glance_blocks
        self.glance_local = _next(self.glance_blocks, self.local)
        self.first_blocks, self.glance_blocks = (
            self.glance_blocks + tuple(frames * width for width in self.local)
            for frames in (len(config.first_glance_indices), config.num_glance_frames)
        )
        self.first_head = None
        if config.first_glance_indices:
            self.first_head = nn.Linear(sum(self.first_blocks), config.num_classes)
        self.glance_head = nn.Linear(sum(self.glance_blocks), config.num_classes)
        if config.key_points:
            self.step_blocks += (self.slots * 3 * NUM_KEY_POINTS, 3 * 3 * NUM_KEY_POINTS)
        self.body_directions = config.body_directions
        pairs_L2 = torch.tensor(list(combinations(_BODY, 2)))
        for name, column in zip(("first_L", "second_L"), pairs_L2.unbind(dim=1), strict=True):
            self.register_buffer(name, column, persistent=False)
        if config.body_directions:
            self.step_blocks += (2 * len(pairs_L2), 2 * 2 * len(pairs_L2))
        self.step_local = _next(self.step_blocks, self.local)
        self.step_blocks += tuple(self.slots * width for width in self.local)
        if config.glance_features:
            self.step_blocks += self.step_blocks[: len(self.blocks)]
        self.step_blocks += self.motion_blocks
        self.motion_head = None
        if config.motion_frames:
            self.motion_head = nn.Linear(sum(self.glance_blocks + self.motion_blocks), config.num_classes)
        self.step_heads = StepHeads(config.max_cubes, sum(self.step_blocks), config.num_classes)

    def remember_glance(self, described_BTV: Tensor) -> Tensor:
        """What is pooled of the features; behind it, for the head of the glance alone, what was read at the key points,
        frame by frame. The glance's key points themselves add nothing to those of cubes, and cost points."""
        features_BTD = described_BTV[:, :, : self.num_features]
        frames = features_BTD.shape[1]
        weights_T = features_BTD.new_full((frames,), 1 / frames)
        distance_BD = (features_BTD[:, 1:] - features_BTD[:, :-1]).abs().mean(dim=1)
        pooled_BG = self._pooled(*_mean_and_deviation(features_BTD, weights_T), distance_BD)
        last = self.num_features + sum(self.local)
        local = torch.split(described_BTV[:, :, self.num_features : last], list(self.local), dim=2)
        return torch.cat((pooled_BG, *(_roots(local_BTV).flatten(1) for local_BTV in local)), dim=1)

    def first_logits(self, first_BG: Tensor) -> Tensor:
        """Of a glance that comes in two parts, after the first."""
        assert self.first_head is not None
        logits_BC: Tensor = self.first_head(self.dropout(first_BG))
        return logits_BC

    def glance_logits(self, glance_BG: Tensor) -> Tensor:
        logits_BC: Tensor = self.glance_head(self.dropout(glance_BG))
        return logits_BC

    def no_memory(self, glance_BG: Tensor) -> Tensor:
        """memory_BM of no cube."""
        return torch.zeros_like(glance_BG[:, :1]).repeat(1, self.memory_size)

    def merge(self, memory_BM: Tensor, described_BTV: Tensor) -> Tensor:
        """The frames of one cube more come last; what leaves at the front is empty until all K are seen."""
        new_BM = described_BTV.flatten(1)
        cubes_BM, motion_BM = memory_BM[:, : self.of_cubes], memory_BM[:, self.of_cubes :]
        return torch.cat((cubes_BM[:, new_BM.shape[1] :], new_BM, motion_BM), dim=1)

    def merge_motion(self, memory_BM: Tensor, seen_BPD: Tensor) -> Tensor:
        """What the motion network saw of the P pairs, pooled as features of frames are."""
        middle = self.motion_blocks[0] // 3
        weights_P = seen_BPD.new_full((seen_BPD.shape[1],), 1 / seen_BPD.shape[1])
        distance_BD = (seen_BPD[:, 1:] - seen_BPD[:, :-1]).abs().mean(dim=1)
        statistics = (*_mean_and_deviation(seen_BPD, weights_P), distance_BD)
        pooled_BF = _pooled(statistics, (middle, seen_BPD.shape[2] - middle))
        return torch.cat((memory_BM[:, : self.of_cubes], pooled_BF), dim=1)

    def motion_features(self, glance_BG: Tensor, memory_BM: Tensor) -> Tensor:
        """features_BF that the head after motion is given, which has seen no cube: all of the glance, and motion."""
        return torch.cat((glance_BG, memory_BM[:, self.of_cubes :]), dim=1)

    def step_features(self, glance_BG: Tensor, memory_BM: Tensor, step: Tensor) -> Tensor:
        """features_BF that the head after `step` cubes, of shape (1,), is given; all rows stand there."""
        described_BSV = torch.unflatten(memory_BM[:, : self.of_cubes], 1, (self.slots, self.described))
        weights_S = self.frames_KS.index_select(0, step - 1).squeeze(0)
        weights_P = self.pairs_KP.index_select(0, step - 1).squeeze(0)
        features_BSD = described_BSV[:, :, : self.num_features]
        given = [self._pooled(*_mean_and_deviation(features_BSD, weights_S), self._distance(features_BSD, weights_P))]
        if self.described > self.num_features:
            read_BSV = described_BSV[:, :, self.num_features :]
            *local, points_BSQ = torch.split(read_BSV, [*self.local, 3 * NUM_KEY_POINTS], dim=2)
            points_BSQ = _normalised(points_BSQ, weights_S)
            given += [
                points_BSQ.flatten(1),
                *_mean_and_deviation(points_BSQ, weights_S),
                self._distance(points_BSQ, weights_P),
            ]
            if self.body_directions:
                directions_BSV = self._directions(points_BSQ)
                given += [*_mean_and_deviation(directions_BSV, weights_S), self._distance(directions_BSV, weights_P)]
            given += [_roots(local_BSV).flatten(1) for local_BSV in local]
        if self.glance_features:
            given.append(glance_BG[:, : self.pooled_glance])
        given.append(memory_BM[:, self.of_cubes :])
        return torch.cat(given, dim=1)

    def logits_at(self, glance_BG: Tensor, memory_BM: Tensor, step: Tensor) -> Tensor:
        """logits_BC after this many cubes, whole, of shape (1,); all rows stand there. Motion is the first, if there is
        any."""
        if self.motion_head is None:
            return self.step_heads.at(self.dropout(self.step_features(glance_BG, memory_BM, step)), step)
        cubes = (step - 1).clamp(min=1)
        further_BC = self.step_heads.at(self.dropout(self.step_features(glance_BG, memory_BM, cubes)), cubes)
        motion_BC = self.motion_head(self.dropout(self.motion_features(glance_BG, memory_BM)))
        return torch.where(step == 1, motion_BC, further_BC)  # both: no Python depends on data

    def _distance(self, values_BSV: Tensor, weights_P: Tensor) -> Tensor:
        """Between frames that are neighbours in time among those seen."""
        apart_BPV = (values_BSV[:, self.first_P] - values_BSV[:, self.second_P]).abs()
        return (apart_BPV * weights_P[:, None]).sum(dim=1)

    def _directions(self, points_BSQ: Tensor) -> Tensor:
        """directions_BSV, unit vectors (y, x) between points of the body; near zero where two are one."""
        places_BSJ2 = torch.unflatten(points_BSQ, 2, (NUM_KEY_POINTS, 3))[..., :2]
        apart_BSL2 = places_BSJ2[:, :, self.second_L] - places_BSJ2[:, :, self.first_L]
        length_BSL1 = (apart_BSL2.square().sum(dim=3, keepdim=True) + _NEAR**2).sqrt()
        return (apart_BSL2 / length_BSL1).flatten(2)

    def _pooled(self, mean_BD: Tensor, deviation_BD: Tensor, distance_BD: Tensor) -> Tensor:
        """Of each block of features its three statistics side by side, as square roots (power normalisation)."""
        return _pooled((mean_BD, deviation_BD, distance_BD), self.blocks)


def _motion_blocks(config: AdaFocusConfig) -> tuple[int, ...]:
    """Widths of what is remembered of motion: three statistics of the middle map's channels, and of the last one's."""
    if not config.motion_frames:
        return ()
    widths = map_widths(config.motion.width_mult)
    return tuple(3 * widths[layer] for layer in DESCRIBED_LAYERS)


def _pooled(statistics: Sequence[Tensor], blocks: Sequence[int]) -> Tensor:
    parts = [torch.split(values_BD, list(blocks), dim=1) for values_BD in statistics]
    ordered = [block for of_block in zip(*parts, strict=True) for block in of_block]
    return _roots(torch.cat(ordered, dim=1))


def _roots(values: Tensor) -> Tensor:
    return values / (values.abs() + _LEAST).sqrt()  # keeps the sign: layer 13 is linear


def _mean_and_deviation(values_BSV: Tensor, weights_S: Tensor) -> tuple[Tensor, Tensor]:
    mean_BV = (values_BSV * weights_S[:, None]).sum(dim=1)
    variance_BV = ((values_BSV - mean_BV[:, None]).square() * weights_S[:, None]).sum(dim=1)
    return mean_BV, (variance_BV + _LEAST**2).sqrt()


def _normalised(points_BSQ: Tensor, weights_S: Tensor) -> Tensor:
    """Places relative to the middle of all key points of the frames seen, in their spread; frames not seen are zero."""
    points_BSJ3 = torch.unflatten(points_BSQ, 2, (NUM_KEY_POINTS, 3))
    weights_S11 = weights_S[:, None, None]
    places_BSJ2 = points_BSJ3[..., :2]
    middle_B2 = (places_BSJ2 * weights_S11).sum(dim=1).mean(dim=1)
    away_BSJ2 = places_BSJ2 - middle_B2[:, None, None]
    spread_B = (away_BSJ2.square() * weights_S11).sum(dim=1).mean(dim=(1, 2)).sqrt() + _LEAST_SPREAD
    relative_BSJ2 = (away_BSJ2 / spread_B[:, None, None, None]).clamp(-_FARTHEST, _FARTHEST)
    seen_S11 = (weights_S11 > 0).to(points_BSQ.dtype)
    return (torch.cat((relative_BSJ2, points_BSJ3[..., 2:]), dim=3) * seen_S11).flatten(2)


def _next(before: tuple[int, ...], blocks: tuple[int, ...]) -> tuple[int, ...]:
    """Which blocks these will be behind those."""
    return tuple(range(len(before), len(before) + len(blocks)))


def _tables(config: AdaFocusConfig) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """frames_KS: the share of each slot after each step; pairs_KP: that of each pair of slots, neighbours in time among
    those seen; first_P and second_P: which slots a pair is made of."""
    per_step, steps = config.cube_size[0], config.max_cubes
    slots = per_step * steps
    pairs = list(combinations(range(slots), 2)) or [(0, 0)]
    frames_KS, pairs_KP = torch.zeros(steps, slots), torch.zeros(steps, len(pairs))
    for step in range(steps):
        seen = [frame for frames in config.step_frames[: step + 1] for frame in frames]
        first_slot = slots - len(seen)
        frames_KS[step, first_slot:] = 1 / len(seen)
        in_time = [first_slot + place for place in sorted(range(len(seen)), key=seen.__getitem__)]
        for one, other in pairwise(in_time):
            pairs_KP[step, pairs.index((min(one, other), max(one, other)))] = 1 / (len(seen) - 1)
    first_P, second_P = torch.tensor(pairs).unbind(dim=1)
    return frames_KS, pairs_KP, first_P, second_P
