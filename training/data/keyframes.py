"""A clip as decoding on demand may give it: keyframes in the place of frames that a glance looks at (decision 0066).

The videos at hand have keyframes of their own, mostly too few. So a grid of keyframes is drawn, and the frames that lie
there are taken by the rule of the service (`video.file.sampling.stand_ins`). Knows no label and no network.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from models.recognizer import Frames
from video.clip import ClipRule, VideoLimits
from video.file.decode import carry_out, plan_decoding
from video.file.sampling import PacketFacts, plan_runs, stand_ins

DENSE, SPARSE = 0.1, 0.2
"""Shares of a video from keyframe to keyframe: in 10 s one a second to one every two seconds, as phones write them."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where keyframes lie, as shares of a video: the first one, and from one to the next."""

    first: float
    distance: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Grid":
        distance = float(rng.uniform(DENSE, SPARSE))
        return cls(float(rng.uniform(0, distance)), distance)


@dataclass(frozen=True, slots=True)
class StandIns:
    """Which frames keyframes may stand in for, and how far they may lie from them: as `FirstLook` has it."""

    glance_indices: tuple[int, ...]
    tolerance: float


def clip_with(path: Path, rule: ClipRule, limits: VideoLimits, wanted: StandIns, grid: Grid) -> Frames:
    """frames_THWC of the video if its keyframes lay on `grid`: of the glance's frames those are replaced that may be.

    A video that tells no times comes as it is. Raises VideoError kin.
    """
    plan = plan_decoding(str(path), rule, limits)
    if not plan.targets:
        return carry_out(plan).frames_THWC
    start, end = plan.track.start_pts, plan.track.end_pts
    packets, places = plan.track.packets, wanted.glance_indices
    apart = min((after - before for before, after in pairwise(places)), default=rule.num_frames)
    within = int(wanted.tolerance * apart * (end - start) / rule.num_frames)
    keys = stand_ins(with_keyframes(packets, start, end, grid), [plan.targets[place] for place in places], within)
    targets = tuple(
        keys.get(target, target) if place in places else target for place, target in enumerate(plan.targets)
    )
    runs = tuple(plan_runs(packets, targets))
    return carry_out(replace(plan, targets=targets, wanted=dict(enumerate(targets)), runs=runs)).frames_THWC


def with_keyframes(packets: Sequence[PacketFacts], start: int, end: int, grid: Grid) -> list[PacketFacts]:
    """The packets, as if those shown nearest to the grid's places were the keyframes, and no others."""
    times = ((packet.pts, index) for index, packet in enumerate(packets) if packet.is_shown)
    shown = [(pts, index) for pts, index in times if pts is not None]
    places = start + (end - start) * np.arange(grid.first, 1, grid.distance)
    keys = {min(shown, key=lambda entry: abs(entry[0] - place))[1] for place in places.tolist()}
    return [replace(packet, is_key=index in keys) for index, packet in enumerate(packets)]
