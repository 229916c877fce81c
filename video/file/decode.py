"""A video file to a Clip: choose frames by their times, say what they cost, decode no more than they need.

Knows no process, socket or model. `video.children.sandbox` runs it in child processes.
"""

from dataclasses import dataclass

import av
import numpy as np

from fovea.errors import VideoUnreadable
from video.clip import Clip, ClipRule, DecodePrice, VideoInfo, VideoLimits
from video.file.reading import FalseKeyframe, Reading, Shot
from video.file.sampling import Run, choose, middle, plan_runs, segment_centres
from video.file.scan import Track, scan


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
    runs: tuple[Run, ...]  # empty, too

    @property
    def price(self) -> DecodePrice:
        if not self.runs:
            return self.whole_price
        return self._price(sum(run.last - run.first + 1 for run in self.runs))

    @property
    def whole_price(self) -> DecodePrice:
        """Where everything is decoded."""
        return self._price(len(self.track.packets))

    def _price(self, frames: int) -> DecodePrice:
        return DecodePrice(frames, frames * self.track.width_px * self.track.height_px)


def decode(path: str, rule: ClipRule, limits: VideoLimits) -> Clip:
    """Sample `rule.num_frames` frames of the video at `path`: `plan_decoding`, `carry_out`. Raises what they do."""
    return carry_out(plan_decoding(path, rule, limits))


def plan_decoding(path: str, rule: ClipRule, limits: VideoLimits) -> DecodePlan:
    """Read the packets' times alone, and choose. Raises VideoUnreadable, NoVideoStream, VideoLimitExceeded."""
    try:
        track = scan(path, limits)
    except (MemoryError, FileNotFoundError):
        raise
    except av.FFmpegError as error:
        raise _undecodable(error) from None
    if not track.has_times:
        return DecodePlan(path, rule, limits, track, (), ())
    targets = choose(track.packets, *_stretch(track, rule), rule.num_frames).targets
    return DecodePlan(path, rule, limits, track, targets, tuple(plan_runs(track.packets, targets)))


def carry_out(plan: DecodePlan, most_pixels: int | None = None) -> Clip:
    """Decode only the groups of pictures that hold the chosen frames, leaving out frames nobody refers to.

    The pixels are those of a full decode. Where the file tells no times, or a chosen frame does not come out whole
    (damage, hidden frames, streams without true keyframes), everything is decoded in order.
    Raises VideoUnreadable, VideoLimitExceeded; CostsMore where that costs more than `most_pixels`, before it is spent.
    """
    price = _afforded(plan.price, most_pixels)
    reading = Reading(plan.path, plan.track, plan.rule, plan.limits)
    try:
        shots = _selected_shots(plan, reading)
        if shots is None:
            price = _afforded(plan.whole_price, most_pixels)
            track, count = plan.track, plan.rule.num_frames
            shots = reading.everything(segment_centres(*_stretch(track, plan.rule), count), 2 * count)
    except (MemoryError, FileNotFoundError):
        raise
    except av.FFmpegError as error:
        raise _undecodable(error) from None
    return _clip(shots, reading, price)


def _afforded(price: DecodePrice, most_pixels: int | None) -> DecodePrice:
    if most_pixels is not None and price.pixels > most_pixels:
        raise CostsMore(price)
    return price


def _selected_shots(plan: DecodePlan, reading: Reading) -> list[Shot] | None:
    """The chosen frames by decoding no more than they need; None where one of them did not come out."""
    if not plan.runs:
        return None
    try:
        shots = reading.selected(plan.runs)
    except MemoryError:
        raise
    except (FalseKeyframe, av.FFmpegError):
        return None  # decoding everything tells what is damaged
    if any(target not in shots for target in plan.targets):
        return None
    return [shots[target] for target in plan.targets]


def _clip(shots: list[Shot], reading: Reading, price: DecodePrice) -> Clip:
    track = reading.track
    width_px, height_px = shots[0].displayed
    return Clip(
        frames_THWC=np.stack([shot.frame_HWC for shot in shots]),
        pts_s=tuple(track.seconds(shot.pts) for shot in shots),
        view_TB=np.stack([shot.view_B for shot in shots]),
        info=VideoInfo(
            duration_s=track.duration_s,
            width_px=width_px,
            height_px=height_px,
            codec=track.codec,
            frames_decoded=reading.num_decoded,
            frames_sampled=len({shot.pts for shot in shots}),
            frames_damaged=reading.num_damaged + track.frames_empty,
            frames_missing=track.frames_missing,
            clock_breaks=track.clock_breaks,
            decode_pixels=price.pixels,
        ),
        num_crops=reading.rule.num_crops,
    )


def _stretch(track: Track, rule: ClipRule) -> tuple[int, int]:
    """[start, end) in ticks that frames are taken from: the whole video, or the rule's window in its middle."""
    ticks = None if rule.window_s is None else round(rule.window_s / track.time_base)
    return middle(track.start_pts, track.end_pts, ticks)


def _undecodable(error: av.FFmpegError) -> VideoUnreadable:
    return VideoUnreadable(f"the video cannot be decoded ({error.strerror}); re-encode it as H.264 in mp4")
