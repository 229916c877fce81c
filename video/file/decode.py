"""A video file to a Clip: choose frames by their times, say what they cost, decode no more than they need.

Knows no process, socket or model. `video.children.sandbox` runs it in child processes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np

from fovea.errors import VideoUnreadable
from video.clip import Clip, ClipRule, DecodePrice, EarlyFrames, FirstLook, FurtherLook, Look, VideoInfo, VideoLimits
from video.file.open_file import OpenFile
from video.file.reading import Reading
from video.file.runs import FalseKeyframe, Shot
from video.file.sampling import PacketFacts, Run, choose, in_passing, middle, plan_runs, segment_centres, stand_ins
from video.file.scan import Track

# Looking first must cost at most this share of decoding all frames at once: whoever goes on pays for both.
WORTHWHILE = 0.5


class CostsMore(Exception):
    """Decoding would cost `price`, and less was to be spent."""

    def __init__(self, price: DecodePrice) -> None:
        super().__init__(f"decoding costs {price}")
        self.price = price


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """A file whose packets were read, and what is to be decoded of it."""

    path: str
    rule: ClipRule
    limits: VideoLimits
    track: Track
    targets: tuple[int, ...]  # packet index of each frame of the clip; empty where everything is decoded in order
    places: tuple[int, ...]  # in the clip, that are filled where everything is decoded in order
    wanted: Mapping[int, int]  # place in the clip to packet index: those to decode now, a keyframe in place of some
    runs: tuple[Run, ...]  # for them; empty where everything is decoded, too
    file: OpenFile  # open until it was carried out, or is forgotten
    ready: Mapping[int, Shot]  # by packet index: decoded already, while the file arrived
    num_decoded_early: int
    keyframes_stay: bool = False  # of the look
    skip_loop_filter: bool = False  # of the look

    @property
    def price(self) -> DecodePrice:
        if not self.runs:
            return self.whole_price
        return self._price(num_packets(self.runs))

    @property
    def whole_price(self) -> DecodePrice:
        """Where everything is decoded."""
        return self._price(len(self.track.packets))

    def _price(self, frames: int) -> DecodePrice:
        return DecodePrice(frames, frames * self.track.width_px * self.track.height_px)


def decode(path: str, rule: ClipRule, limits: VideoLimits, look: Look = None) -> Clip:
    """Sample `rule.num_frames` frames of the video at `path`: `plan_decoding`, `carry_out`. Raises what they do."""
    return carry_out(plan_decoding(path, rule, limits, look))


def plan_decoding(
    path: str, rule: ClipRule, limits: VideoLimits, look: Look = None, early: EarlyFrames | None = None
) -> DecodePlan:
    """Read the packets' times alone, and choose: all frames, or those of a `look`. `early` ones are not decoded again;
    what is chosen, and the price, are the same with them.

    Raises VideoUnreadable, NoVideoStream, VideoLimitExceeded.
    """
    try:
        file = OpenFile(path, limits, () if early is None else early.packets)
    except (MemoryError, FileNotFoundError):
        raise
    except av.FFmpegError as error:
        raise _undecodable(error) from None
    track = file.track
    places = _places(rule, look)
    ready = {} if early is None else _ready(early, file)
    num_early = 0 if early is None else early.num_decoded
    if not track.has_times:
        return DecodePlan(path, rule, limits, track, (), places, {}, (), file, ready, num_early)
    extent = _extent(track, rule)
    targets = choose(track.packets, *extent, rule.num_frames).targets
    wanted, runs = looked_at(track.packets, extent, rule, targets, look)
    stay = isinstance(look, FirstLook) and look.keyframes_stay
    return DecodePlan(
        path,
        rule,
        limits,
        track,
        targets,
        places,
        wanted,
        tuple(runs),
        file,
        ready,
        num_early,
        keyframes_stay=stay,
        skip_loop_filter=look is not None and look.skip_loop_filter,
    )


def _ready(early: EarlyFrames, file: OpenFile) -> dict[int, Shot]:
    """By packet index, those that the whole file bears out: it tells the same of all packets up to theirs."""
    track = file.track
    if track.clock_breaks or track.turns_by_message:
        return {}
    shots: dict[int, Shot] = {}
    for number, packet in enumerate(early.packets):
        pts = track.packets[packet].pts if packet < len(track.packets) else None
        if pts is not None and file.digests.get(packet) == early.digests[number]:
            frame_HWC, view_B = early.frames_NHWC[number], early.view_NB[number]
            shots[packet] = Shot(pts, frame_HWC, view_B, early.displayed[number])
    return shots


def _places(rule: ClipRule, look: Look) -> tuple[int, ...]:
    """All places in the clip that this look, or one after it, may want."""
    match look:
        case FirstLook(indices, _, later) if later is not None:
            return tuple(sorted({*indices, *later}))
        case FurtherLook(indices, others):
            return tuple(sorted({*indices, *others}))
        case _:
            return tuple(range(rule.num_frames))


def looked_at(
    packets: Sequence[PacketFacts], extent: tuple[int, int], rule: ClipRule, targets: tuple[int, ...], look: Look
) -> tuple[Mapping[int, int], list[Run]]:
    """(packet of each place that is decoded now, runs that give them). `extent`: see `stretch`; `targets`: of each
    place the packet."""
    everywhere = {index: targets[index] for index in _places(rule, look)}
    all_runs = plan_runs(packets, tuple(everywhere.values()))
    match look:
        case FirstLook(indices, tolerance):
            start, end = extent
            apart = min((after - before for before, after in pairwise(indices)), default=rule.num_frames)
            exact = [targets[index] for index in indices]
            keys = stand_ins(packets, exact, int(tolerance * apart * (end - start) / rule.num_frames))
            wanted = {index: keys.get(targets[index], targets[index]) for index in indices}
            runs = plan_runs(packets, tuple(wanted.values()))
            if num_packets(runs) > WORTHWHILE * num_packets(all_runs):
                return everywhere, all_runs
            return wanted, runs
        case FurtherLook(indices, others):
            runs = plan_runs(packets, [targets[index] for index in indices])
            along = [index for index in others if in_passing(packets, runs, targets[index])]
            wanted = {index: targets[index] for index in sorted({*indices, *along})}
            return wanted, plan_runs(packets, tuple(wanted.values()))
        case None:
            return everywhere, all_runs


def num_packets(runs: Sequence[Run]) -> int:
    return sum(run.last - run.first + 1 for run in runs)


def carry_out(plan: DecodePlan, most_pixels: int | None = None) -> Clip:
    """Decode only the groups of pictures that hold the chosen frames, leaving out frames nobody refers to.

    The pixels are those of a full decode, unless the look skips the loop filter. Where the file tells no times, or a
    chosen frame does not come out whole (damage, hidden frames, streams without true keyframes), everything is decoded
    in order, as it is, and every frame that the look or a later one may want is there.
    Raises VideoUnreadable, VideoLimitExceeded; CostsMore where that costs more than `most_pixels`, before it is spent.
    """
    try:
        return _carried_out(plan, most_pixels)
    finally:
        plan.file.close()


def _carried_out(plan: DecodePlan, most_pixels: int | None) -> Clip:
    price = _afforded(plan.price, most_pixels)
    reading = Reading(plan.path, plan.track, plan.rule, plan.limits, plan.file, plan.num_decoded_early)
    try:
        shots = _selected_shots(plan, reading)
        if shots is None:
            price = _afforded(plan.whole_price, most_pixels)
            track, count = plan.track, plan.rule.num_frames
            centres = segment_centres(*_extent(track, plan.rule), count)
            times, shots = reading.everything(centres, 2 * count, plan.places)
            return _clip(plan, times, shots, frozenset(), reading, price)
    except (MemoryError, FileNotFoundError):
        raise
    except av.FFmpegError as error:
        raise _undecodable(error) from None
    packets, targets = plan.track.packets, plan.targets
    times = [packets[plan.wanted.get(index, target)].pts or 0 for index, target in enumerate(targets)]
    moved = frozenset(index for index, target in plan.wanted.items() if target != targets[index])
    num_early = len(plan.ready.keys() & plan.wanted.values())
    return _clip(plan, times, shots, frozenset() if plan.keyframes_stay else moved, reading, price, num_early)


def _afforded(price: DecodePrice, most_pixels: int | None) -> DecodePrice:
    if most_pixels is not None and price.pixels > most_pixels:
        raise CostsMore(price)
    return price


def _selected_shots(plan: DecodePlan, reading: Reading) -> dict[int, Shot] | None:
    """The wanted frames by place, by decoding no more than they need; None where one of them did not come out."""
    if not plan.runs:
        return None
    ready = plan.ready
    runs = plan.runs
    if ready:
        runs = tuple(plan_runs(plan.track.packets, [one for one in plan.wanted.values() if one not in ready]))
    try:
        shots = {**ready, **(reading.selected(runs, skip_loop_filter=plan.skip_loop_filter) if runs else {})}
    except MemoryError:
        raise
    except (FalseKeyframe, av.FFmpegError):
        return None  # decoding everything tells what is damaged
    if any(target not in shots for target in plan.wanted.values()):
        return None
    return {index: shots[target] for index, target in plan.wanted.items()}


def _clip(
    plan: DecodePlan,
    times: Sequence[int],
    shots: Mapping[int, Shot],
    stand_ins: frozenset[int],
    reading: Reading,
    price: DecodePrice,
    num_early: int = 0,
) -> Clip:
    """`times` in ticks of all places in the clip, `shots` by place; places without one are absent."""
    track, rule = plan.track, plan.rule
    first = next(iter(shots.values()))
    width_px, height_px = first.displayed
    frames_THWC = np.zeros((rule.num_frames, *first.frame_HWC.shape), np.uint8)
    view_TB = np.tile(first.view_B, (rule.num_frames, 1))
    for index, shot in shots.items():
        frames_THWC[index], view_TB[index] = shot.frame_HWC, shot.view_B
    return Clip(
        frames_THWC=frames_THWC,
        pts_s=tuple(map(track.seconds, times)),
        view_TB=view_TB,
        info=VideoInfo(
            duration_s=track.duration_s,
            width_px=width_px,
            height_px=height_px,
            codec=track.codec,
            frames_decoded=reading.num_decoded,
            frames_sampled=len({shot.pts for shot in shots.values()}),
            frames_damaged=reading.num_damaged + track.frames_empty,
            frames_missing=track.frames_missing,
            clock_breaks=track.clock_breaks,
            decode_pixels=price.pixels,
            frames_early=num_early,
        ),
        num_crops=rule.num_crops,
        absent=frozenset(range(rule.num_frames)) - shots.keys(),
        stand_ins=stand_ins,
    )


def stretch(start: int, end: int, time_base: Fraction, rule: ClipRule) -> tuple[int, int]:
    """[start, end) in ticks that frames are taken from: the whole video, or the rule's window in its middle."""
    return middle(start, end, None if rule.window_s is None else round(rule.window_s / time_base))


def _extent(track: Track, rule: ClipRule) -> tuple[int, int]:
    return stretch(track.start_pts, track.end_pts, track.time_base, rule)


def _undecodable(error: av.FFmpegError) -> VideoUnreadable:
    return VideoUnreadable(f"the video cannot be decoded ({error.strerror}); re-encode it as H.264 in mp4")
