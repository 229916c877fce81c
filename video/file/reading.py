"""Goes through a file's frames: chosen ones by decoding no more than they need, or all of them in order.

Knows neither which frames are wanted nor a process; runs wherever it is called, in one thread.
Shape suffixes: H rows, W columns, C colour channels.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fovea.errors import VideoUnreadable
from video.clip import ClipRule, VideoLimits
from video.file.open_file import OpenFile
from video.file.parameter_sets import ParameterSets
from video.file.picture import Orientation, Painter, orientation_of
from video.file.probe import opened, packets_of
from video.file.runs import RunDecoder, Shot, decoded, shot_of
from video.file.sampling import Run, is_shown_for
from video.file.scan import Track, check_share


@dataclass(slots=True)
class Reading:
    """Readings of one file's frames: what everything that leaves the decoder goes through."""

    path: str
    track: Track
    rule: ClipRule
    limits: VideoLimits
    file: OpenFile | None = None  # the same file, where it lies open
    num_decoded: int = 0
    num_good: int = 0  # frames that came out in order, of the latest reading of all
    num_refused: int = 0  # packets that the decoder refused there
    num_damaged: int = 0  # those, and frames that it called damaged
    painter: Painter = field(init=False)

    def selected(self, runs: Sequence[Run], *, skip_loop_filter: bool = False) -> dict[int, Shot]:
        """Decode the runs alone; shots by packet index. Frames that did not come, or came damaged, are missing.
        `skip_loop_filter`: as `FirstLook` has it.

        Raises FalseKeyframe, and av.FFmpegError where a packet cannot be decoded.
        """
        packets = self.track.packets
        wanted = {packets[target].pts: target for run in runs for target in run.targets}
        orientation = self._orientation()
        with self._opened() as (stream, packets_read):
            self.painter = Painter(self.rule, stream.sample_aspect_ratio, orientation)
            decoder = RunDecoder(stream, self.painter, self.limits, wanted, skip_loop_filter=skip_loop_filter)
            remaining = iter(runs)
            run = next(remaining)
            try:
                for index, packet in enumerate(packets_read):
                    if index < run.first:
                        decoder.leave_out(packet)
                        continue
                    pts = packets[index].pts
                    begins = index == run.first
                    decoder.feed(decoder.begin(packet, pts) if begins else packet, pts, is_wanted=index in run.targets)
                    if index == run.last:
                        decoder.end()
                        following = next(remaining, None)
                        if following is None:
                            break
                        run = following
            finally:
                self.num_decoded += decoder.num_decoded
        return decoder.shots

    def everything(
        self, centres: Sequence[int], scale: int, places: Collection[int]
    ) -> tuple[list[int], dict[int, Shot]]:
        """Decode from the first keyframe to the end: (pts of the frame shown at each centre, those of `places` among
        them). Centres are pts * scale, see `choose`; other frames are not converted.

        Raises VideoUnreadable where too many frames are damaged.
        """
        times: list[int] = []
        shots: dict[int, Shot] = {}
        before: tuple[int, VideoFrame] | None = None
        latest: Shot | None = None
        usual = self.track.usual_ticks
        for pts, frame in self._all_frames():
            while len(times) < len(centres) and pts * scale > centres[len(times)]:
                centre = centres[len(times)]
                is_this = is_shown_for(None if before is None else before[0], pts, centre, scale, usual)
                chosen = (pts, frame) if before is None or is_this else before
                if len(times) in places:
                    if latest is None or latest.pts != chosen[0]:
                        latest = shot_of(self.painter, *chosen)
                    shots[len(times)] = latest
                times.append(chosen[0])
            before = pts, frame
            if len(times) == len(centres):
                break
        if before is None:
            raise VideoUnreadable("no frame of the video could be decoded; export it again, as H.264 in mp4")
        self._check_damage(before[0])
        left = [index for index in range(len(times), len(centres)) if index in places]
        if left:
            shots |= dict.fromkeys(left, shot_of(self.painter, *before))
        return times + [before[0]] * (len(centres) - len(times)), shots

    def pictures(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """(seconds from the video's start, frame_HWC) of every frame in order of time: to show, not to recognise."""
        for pts, frame in self._all_frames():
            yield self.track.seconds(pts), shot_of(self.painter, pts, frame).frame_HWC

    def _all_frames(self) -> Iterator[tuple[int, VideoFrame]]:
        """(pts, frame) of the good ones in order of time; without times in the file, frames come in that of the track.

        A packet or frame that is damaged is left out and counted: see `_check_damage`.
        """
        track = self.track
        latest: int | None = None
        self.num_good = self.num_damaged = self.num_refused = number = 0
        orientation = self._orientation()
        with self._opened() as (stream, packets):
            self.painter = Painter(self.rule, stream.sample_aspect_ratio, orientation)
            for frame in self._in_order(stream.codec_context, packets, ParameterSets(stream)):
                number += 1
                place = number + self.num_refused  # those have their place, too
                pts = frame.pts if track.has_times else track.times[min(place, len(track.times)) - 1]
                if frame.is_corrupt:
                    self.num_damaged += self.num_good > 0  # before: it starts between keyframes
                elif pts is not None and (latest is None or pts >= latest):  # else it would turn time back
                    self.num_good += 1
                    latest = pts
                    yield pts, frame

    @contextmanager
    def _opened(self) -> "Iterator[tuple[VideoStream, Iterator[av.Packet[VideoStream]]]]":
        """The stream and its packets from the first, nothing decoded yet."""
        taken = None if self.file is None else self.file.take()
        if taken is not None:
            yield taken
            return
        with opened(self.path, self.limits) as (container, stream):
            yield stream, packets_of(container, stream)

    def _in_order(
        self, context: VideoCodecContext, packets: "Iterator[av.Packet[VideoStream]]", sets: ParameterSets
    ) -> Iterator[VideoFrame]:
        """Every frame that comes out of the decoder; a packet that it refuses is counted, and left out."""
        facts = self.track.packets
        left_out = False
        for index, packet in zip(range(len(facts)), packets, strict=False):
            if index in self.track.fresh_starts:
                yield from self._tried(context, None)
                context.flush_buffers()
            if not facts[index].is_decodable:
                sets.left_out(packet)
                left_out = True
                continue
            if left_out:
                packet, left_out = sets.completed(packet), False  # noqa: PLW2901 - the same, with what it needs
            packet.pts = facts[index].pts
            yield from self._tried(context, packet)
        yield from self._tried(context, None)  # what it holds back

    def _tried(self, context: VideoCodecContext, packet: "av.Packet[VideoStream] | None") -> list[VideoFrame]:
        try:
            frames = decoded(context, packet, self.limits)
            self.num_decoded += len(frames)
            return frames
        except MemoryError:
            raise
        except av.FFmpegError:
            self.num_refused += 1
            self.num_damaged += 1
            return []

    def _orientation(self) -> Orientation | None:
        """What the first frame tells for all of them, where it tells it in the coded stream; else None."""
        if not self.track.turns_by_message:
            return None
        with opened(self.path, self.limits) as (container, stream):
            frame = next(
                self._in_order(stream.codec_context, packets_of(container, stream), ParameterSets(stream)), None
            )
            return None if frame is None else orientation_of(frame)

    def _check_damage(self, latest_pts: int) -> None:
        """Raises VideoUnreadable where too few of the frames that came up to there were good."""
        latest_s = self.track.seconds(latest_pts)
        check_share(
            self.num_good,
            self.num_good + self.num_damaged + self.track.frames_missing + self.track.frames_empty,
            f"can be decoded, the video is damaged: up to {latest_s:.2f} s of {self.track.duration_s:.2f} s",
            "export the video again, or send another copy",
            readable_s=latest_s,
        )
