"""A video file to a Clip: choose frames by their times, decode no more than they need, convert only them.

Knows no process, socket or model; runs wherever it is called, in one thread. `sandbox` runs it in child processes.
Shape suffixes: T frames, H rows, W columns, C colour channels, B box sides.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

import av
import numpy as np
from av.error import ArgumentError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fovea.errors import VideoLimitExceeded, VideoUnreadable
from video.clip import Clip, ClipRule, VideoInfo, VideoLimits
from video.file.picture import Painter
from video.file.probe import MAX_ASPECT, Track, broken_off, check_size, opened, packets_of, scan
from video.file.sampling import Run, choose, middle, plan_runs, segment_centres


@dataclass(frozen=True, slots=True)
class _Shot:
    """One frame taken."""

    pts: int
    frame_HWC: NDArray[np.uint8]
    view_B: NDArray[np.float32]
    displayed: tuple[int, int]


@dataclass(slots=True)
class Reading:
    """Readings of one file's frames: what everything that leaves the decoder goes through."""

    path: str
    track: Track
    rule: ClipRule
    limits: VideoLimits
    num_decoded: int = 0
    painter: Painter = field(init=False)

    def selected(self, runs: list[Run]) -> dict[int, _Shot]:
        """Decode the runs alone; shots by packet index. Frames that did not come are missing."""
        packets = self.track.packets
        wanted = {packets[target].pts: target for run in runs for target in run.targets}
        shots: dict[int, _Shot] = {}
        with opened(self.path, self.limits) as (container, stream):
            self.painter = Painter(self.rule, stream.sample_aspect_ratio)
            context = stream.codec_context
            # frames that no other refers to are left out; dav1d takes this setting once, when it opens, not per packet
            skips = context.name != "libdav1d"
            remaining = iter(runs)
            run = next(remaining)
            for index, packet in enumerate(packets_of(container, stream), -self.track.num_skipped):
                if index < run.first:
                    continue
                pts = packets[index].pts
                first_pts = packets[run.first].pts
                leading = pts is not None and first_pts is not None and pts < first_pts
                if not leading:  # a frame shown before the keyframe it follows cannot be decoded from here
                    if skips:
                        context.skip_frame = "DEFAULT" if index in run.targets else "NONREF"
                    self._take(self._decoded(context, packet), wanted, shots)
                if index == run.last:
                    self._take(self._decoded(context, None), wanted, shots)
                    context.flush_buffers()
                    following = next(remaining, None)
                    if following is None:
                        break
                    run = following
        return shots

    def everything(self, centres: list[int], scale: int) -> list[_Shot]:
        """Decode from the first keyframe to the end; the frame nearest to each centre (pts * scale)."""
        shots: list[_Shot] = []
        before: tuple[int, VideoFrame] | None = None
        shot_before: _Shot | None = None
        for pts, frame in self._all_frames():
            while len(shots) < len(centres) and pts * scale >= centres[len(shots)]:
                centre = centres[len(shots)]
                nearest = (pts, frame)
                if before is not None and centre - before[0] * scale <= pts * scale - centre:
                    nearest = before
                if shot_before is None or shot_before.pts != nearest[0]:
                    shot_before = self._shot(*nearest)
                shots.append(shot_before)
            before = pts, frame
            if len(shots) == len(centres):
                break
        if before is None:
            raise VideoUnreadable("no frame of the video could be decoded; send the whole file again")
        if len(shots) < len(centres):
            last = self._shot(*before)
            shots += [last] * (len(centres) - len(shots))
        return shots

    def pictures(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """(seconds from the video's start, frame_HWC) of every frame in order of time: to show, not to recognise."""
        for pts, frame in self._all_frames():
            yield float((pts - self.track.start_pts) * self.track.time_base), self._shot(pts, frame).frame_HWC

    def _all_frames(self) -> Iterator[tuple[int, VideoFrame]]:
        """(pts, frame) in order of time; without times in the file, frames stand at equal distances."""
        track = self.track
        ticks = (track.end_pts - track.start_pts) / max(1, len(track.packets))
        latest = track.start_pts
        with opened(self.path, self.limits) as (container, stream):
            self.painter = Painter(self.rule, stream.sample_aspect_ratio)
            context = stream.codec_context
            number = 0
            try:
                packets = islice(
                    packets_of(container, stream), track.num_skipped, track.num_skipped + len(track.packets)
                )
                for packet in chain(packets, [None]):  # None: the decoder gives what it holds back
                    for frame in self._decoded(context, packet):
                        pts = frame.pts if track.has_times else round(number * ticks)
                        number += 1
                        if pts is not None and pts >= latest:  # a frame out of order would turn time back
                            latest = pts
                            yield pts, frame
            except MemoryError:
                raise
            except av.FFmpegError as error:
                read_s = float((latest - track.start_pts) * track.time_base)
                raise broken_off(str(error.strerror), read_s, track.duration_s) from None

    def _decoded(self, context: VideoCodecContext, packet: "av.Packet[VideoStream] | None") -> list[VideoFrame]:
        try:
            frames = context.decode(packet)
        except ArgumentError:  # a size that libav itself refuses: see max_pixels in probe
            raise VideoLimitExceeded(
                f"a frame claims a size far beyond the {self.limits.frame_pixels} pixels taken here, or none at all; "
                "send the video at a lower resolution",
                limit_pixels=self.limits.frame_pixels,
            ) from None
        for frame in frames:
            self.num_decoded += 1
            check_size(frame.width, frame.height, self.limits)  # of the frame itself: headers may lie
        return frames

    def _take(self, frames: list[VideoFrame], wanted: dict[int | None, int], shots: dict[int, _Shot]) -> None:
        for frame in frames:
            target = wanted.get(frame.pts) if frame.pts is not None else None
            if target is not None and target not in shots and not frame.is_corrupt:
                assert frame.pts is not None
                shots[target] = self._shot(frame.pts, frame)

    def _shot(self, pts: int, frame: VideoFrame) -> _Shot:
        displayed = self.painter.displayed_size(frame)
        if max(displayed) > MAX_ASPECT * min(displayed):
            raise VideoLimitExceeded(
                f"the picture is shown as {displayed[0]} x {displayed[1]}, longer than {MAX_ASPECT}:1; crop the video"
            )
        return _Shot(pts, *self.painter.paint(frame), displayed)


def decode(path: str, rule: ClipRule, limits: VideoLimits) -> Clip:
    """Sample `rule.num_frames` frames of the video at `path`.

    Two readings of the file: packets' times alone, then only the groups of pictures that hold the chosen frames,
    leaving out frames nobody refers to. The pixels are those of a full decode. Where the file tells no times, or a
    chosen frame does not come out (hidden frames, streams without true keyframes), everything is decoded in order.
    Raises VideoUnreadable, NoVideoStream, VideoLimitExceeded.
    """
    try:
        return _decode(path, rule, limits)
    except (MemoryError, FileNotFoundError, PermissionError):
        raise
    except av.FFmpegError as error:
        raise VideoUnreadable(f"the video cannot be decoded ({error.strerror}); re-encode it as H.264 in mp4") from None


def _decode(path: str, rule: ClipRule, limits: VideoLimits) -> Clip:
    track = scan(path, limits)
    reading = Reading(path, track, rule, limits)
    shots = _selected_shots(reading) if track.has_times else None
    if shots is None:
        scale = 2 * rule.num_frames
        shots = reading.everything(segment_centres(*_stretch(reading), rule.num_frames), scale)
    width_px, height_px = shots[0].displayed
    return Clip(
        frames_THWC=np.stack([shot.frame_HWC for shot in shots]),
        pts_s=tuple(float((shot.pts - track.start_pts) * track.time_base) for shot in shots),
        view_TB=np.stack([shot.view_B for shot in shots]),
        info=VideoInfo(
            duration_s=track.duration_s,
            width_px=width_px,
            height_px=height_px,
            codec=track.codec,
            frames_decoded=reading.num_decoded,
            frames_sampled=len({shot.pts for shot in shots}),
        ),
        num_crops=rule.num_crops,
    )


def _stretch(reading: Reading) -> tuple[int, int]:
    """[start, end) in ticks that frames are taken from: the whole video, or the rule's window in its middle."""
    track, window_s = reading.track, reading.rule.window_s
    ticks = None if window_s is None else round(window_s / track.time_base)
    return middle(track.start_pts, track.end_pts, ticks)


def _selected_shots(reading: Reading) -> list[_Shot] | None:
    """The chosen frames by decoding no more than they need; None where one of them did not come out."""
    track = reading.track
    choice = choose(track.packets, *_stretch(reading), reading.rule.num_frames)
    try:
        shots = reading.selected(plan_runs(track.packets, choice.targets))
    except MemoryError:
        raise
    except av.FFmpegError:
        return None  # a flagged keyframe may be none; decoding everything tells whether the file is damaged
    if any(target not in shots for target in choice.targets):
        return None
    return [shots[target] for target in choice.targets]
