"""Slopes of the loss in a cube's place: of deep features (Eq. 5-6) and of pixels (AdaFocusV2), and whether they point
to the needle.

Knows no policy. Shape suffixes: N clips, B cubes, R places a clip, L of them drawn, P cells of the glance's map, T
frames, D features, C classes, 3 = (t, y, x).
"""

from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.needle_clips import HEIGHT_PX, NUM_FRAMES, WIDTH_PX
from benchmarks.needle_parts import CellLogits, Part
from models.adafocus.network import AdaFocusV3

Kind: TypeAlias = Literal["deep", "pixel"]
_JUDGED = 8  # cubes whose gradient is taken at once
_CLIPS = 4  # whose slopes are taken at once
_DRAWN = 200  # places a clip at which the gradient's direction is judged in the map of whole frames
_SMOOTHING = 0.1  # of labels, as in training


def slopes_at(network: AdaFocusV3, part: Part, places_NL3: Tensor, kind: Kind) -> Tensor:
    """slopes_NL3 of the loss after the glance and one cube, cut there by itself, in its place."""
    return torch.cat(
        [
            _slopes(network, part, range(first, min(first + _CLIPS, len(part))), places_NL3, kind)
            for first in range(0, len(part), _CLIPS)
        ]
    )


def _slopes(network: AdaFocusV3, part: Part, rows: range, places_NL3: Tensor, kind: Kind) -> Tensor:
    positions_BL3 = places_NL3[rows.start : rows.stop].clone().requires_grad_(True)
    clips = torch.stack([torch.from_numpy(part.clips[row]) for row in rows])
    with torch.autocast("cpu", torch.bfloat16):
        features_BLTD = network.cube_features(clips, positions_BL3, cubes=kind).float()
    num = positions_BL3.shape[1]
    glance_BTD = part.maps_NTDhw[rows.start : rows.stop].float().mean(dim=(3, 4)).repeat_interleave(num, dim=0)
    logits_BC = network._classify(glance_BTD, features_BLTD.flatten(0, 1)[:, None])[:, 1]
    labels_B = part.labels_N[rows.start : rows.stop].repeat_interleave(num)
    loss = F.cross_entropy(logits_BC, labels_B, reduction="sum", label_smoothing=_SMOOTHING)
    (slope_BL3,) = torch.autograd.grad(loss, positions_BL3)
    return slope_BL3


def towards_needle(taught: CellLogits, size_3: Tensor, cube_3: Tensor, seed: int) -> tuple[int, float]:
    """(places, how often the gradient of Eq. 5-6 points to the needle) where that is 64 to 112 px off along y or x.

    Nearer, the cube still holds it and there is nothing to gain; further, a cell more shows nothing of it.
    """
    part = taught.part
    places_NR3 = torch.rand(len(part), _DRAWN, 3, generator=torch.Generator().manual_seed(seed)).requires_grad_(True)
    (slope_NR3,) = torch.autograd.grad(taught.losses(slice(None), places_NR3).sum(), places_NR3)
    apart_NR3 = part.centres_N3[:, None] - (places_NR3.detach() * (size_3 - cube_3) + cube_3 / 2)
    right: list[bool] = []
    for axis in (1, 2):
        reach = torch.tensor([1.0, 24.0, 24.0])
        reach[axis] = 112.0
        judged_NR = (apart_NR3.abs() <= reach).all(dim=2) & (apart_NR3[..., axis].abs() >= 64) & ~part.easy_N[:, None]
        right += (torch.sign(-slope_NR3[judged_NR][:, axis]) == torch.sign(apart_NR3[judged_NR][:, axis])).tolist()
    return len(right), float(np.mean(right))


def direction(network: AdaFocusV3, part: Part, gradient: Kind, count: int, seed: int) -> tuple[int, float]:
    """(cubes, how often towards): the needle is 48 to 88 px off a cube's centre along y or x, so mostly outside it."""
    rng = np.random.default_rng(seed)
    room_3 = np.array((NUM_FRAMES, HEIGHT_PX, WIDTH_PX)) - network.config.cube_size
    towards: list[bool] = []
    batch: list[tuple[Tensor, int, Tensor, int, bool]] = []
    for row, clip in enumerate(part.clips):
        centre_3 = part.centres_N3[row].numpy()
        for axis in (1, 2) if not part.easy_N[row] else ():
            side = rng.choice((-1, 1))
            off_3 = rng.uniform((-1, -24, -24), (1, 24, 24))
            off_3[axis] = side * rng.uniform(48, 88)
            corner_3 = centre_3 + off_3 - np.array(network.config.cube_size) / 2
            corner_3[0] = np.clip(corner_3[0], 0, room_3[0])
            if ((corner_3 >= 0) & (corner_3 <= room_3)).all():
                place = torch.from_numpy(corner_3 / room_3).float()
                batch.append((torch.from_numpy(clip), row, place, axis, side < 0))
        if len(batch) >= _JUDGED:
            towards += _judged(network, part, batch, gradient)
            batch = []
        if len(towards) >= count:
            break
    return len(towards), float(np.mean(towards))


def _judged(
    network: AdaFocusV3,
    part: Part,
    batch: list[tuple[Tensor, int, Tensor, int, bool]],
    gradient: Kind,
) -> list[bool]:
    clips, rows, places, axes, forward = zip(*batch, strict=True)
    positions_B13 = torch.stack(places)[:, None].requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        features_BKTD = network.cube_features(torch.stack(clips), positions_B13, cubes=gradient).float()
    glance_BTD = part.maps_NTDhw[list(rows)].float().mean(dim=(3, 4))
    logits_BC = network._classify(glance_BTD, features_BKTD)[:, 1]
    loss = F.cross_entropy(logits_BC, part.labels_N[list(rows)], reduction="sum", label_smoothing=_SMOOTHING)
    (slope_B13,) = torch.autograd.grad(loss, positions_B13)
    downhill = (-slope_B13[torch.arange(len(rows)), 0, torch.tensor(axes)]).tolist()
    return [(slope > 0) == wanted for slope, wanted in zip(downhill, forward, strict=True)]
