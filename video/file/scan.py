"""Reads a file's packets without decoding any: when each is shown, what is missing, and whether the limits allow it.

What headers claim of length and number decides nothing: the packets do. Knows neither how frames are chosen nor how
they are turned into pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from fovea.errors import VideoLimitExceeded, VideoUnreadable
from video.clip import VideoLimits
from video.file.clock import lay_out, shown_times
from video.file.parameter_sets import turns_by_message
from video.file.probe import check_not_encrypted, check_size, opened, packets_of
from video.file.sampling import PacketFacts, usual_distance

MIN_SHARE = Fraction(4, 5)  # of its frames that a video must still have

_EMPTY_BYTES = 16  # no codec begins a picture with that many zeros; a disk that lost a block does
_GUESSED_DURATIONS = frozenset({"mpegts", "mpeg", "flv", "ogg", "asf"})  # they do not say how long a picture stays
_MAX_GAP_S = Fraction(10)  # there: more is no pause (ffmpeg's own threshold)


@dataclass(frozen=True, slots=True)
class Track:
    """The video stream of a file, as its packets tell it, on one clock that runs on where the file's own breaks off."""

    codec: str  # "h264"
    time_base: Fraction  # seconds per pts tick
    width_px: int  # as coded
    height_px: int
    packets: tuple[PacketFacts, ...]  # decode order
    fresh_starts: tuple[int, ...]  # indices: what comes before is another recording
    has_times: bool  # every packet says when it is shown
    times: tuple[int, ...]  # of all frames in order of display; where the file tells none, at equal distances
    end_pts: int
    clock_breaks: int  # times that the file's clock restarted or jumped
    frames_missing: int  # that the file speaks of, and that are not there
    frames_empty: int  # whose packets hold nothing but zeros: damaged, whatever is decoded
    turns_by_message: bool  # its first packet tells, in the coded stream itself, how the picture is to be turned

    @property
    def start_pts(self) -> int:
        return self.times[0]

    @property
    def duration_s(self) -> float:
        return self.seconds(self.end_pts)

    @property
    def usual_ticks(self) -> int:
        """The median distance of frames."""
        return usual_distance(self.times)

    def seconds(self, pts: int) -> float:
        """From the video's start."""
        return float((pts - self.start_pts) * self.time_base)


def scan(path: str, limits: VideoLimits) -> Track:
    """Raises VideoUnreadable, NoVideoStream, VideoLimitExceeded.

    A file that lost some of its frames is taken for what is there, down to MIN_SHARE of those it speaks of. Where it
    does not say how many there should be (what is made for streaming), what is there is the video.
    """
    with opened(path, limits) as (container, stream):
        return scan_opened(container, stream, limits)


def scan_opened(
    container: InputContainer,
    stream: VideoStream,
    limits: VideoLimits,
    keep: "Callable[[Packet[VideoStream]], None]" = lambda packet: None,
) -> Track:
    """`scan` of what `opened` gave. `keep` is told of every packet."""
    context = stream.codec_context
    check_size(context.width, context.height, limits)
    assert stream.time_base is not None
    seen, failure = _read(container, stream, limits, keep)
    missing = max(0, len(stream.index_entries) - len(seen.packets)) if "mp4" in container.format.name else 0
    packets = seen.packets
    if seen.is_last_cut:
        packets, missing = packets[:-1], missing + 1
    # one picture that lasts longer than the longest video is a jump of the clock in any format
    max_gap_s = _MAX_GAP_S if container.format.name in _GUESSED_DURATIONS else Fraction(limits.duration_s)
    laid = lay_out(packets, stream.time_base, max_gap_s)
    has_times = _has_times(laid.packets, container, stream)
    times, end_pts = _extent(laid.packets, container, stream, has_times=has_times)
    if not times:
        raise VideoUnreadable("the video stream holds no frame; it may have been cut off, send the whole file")
    track = Track(
        codec=context.codec.canonical_name,
        time_base=stream.time_base,
        width_px=context.width,
        height_px=context.height,
        packets=laid.packets,
        fresh_starts=laid.fresh_starts,
        has_times=has_times,
        times=times,
        end_pts=end_pts,
        clock_breaks=len(laid.breaks),
        frames_missing=missing,
        frames_empty=seen.num_empty,
        turns_by_message=seen.turns_by_message,
    )
    _check_whole(track, container, stream, failure)
    _check_duration(track.duration_s, limits)
    return track


@dataclass(frozen=True, slots=True)
class _Seen:
    packets: list[PacketFacts]
    num_empty: int
    is_last_cut: bool
    turns_by_message: bool


def _read(
    container: InputContainer,
    stream: VideoStream,
    limits: VideoLimits,
    keep: "Callable[[Packet[VideoStream]], None]",
) -> tuple[_Seen, str | None]:
    """All packets that can be read, and what ended the reading before the end."""
    packets: list[PacketFacts] = []
    num_empty = 0
    is_corrupt = turns = False  # of the latest packet; of the first
    failure: str | None = None
    try:
        for packet in packets_of(container, stream):
            if len(packets) == limits.frames:
                raise VideoLimitExceeded(
                    f"the video has more than {limits.frames} frames, the most taken here; send a part of it",
                    limit_frames=limits.frames,
                )
            if not packets:
                check_not_encrypted(packet)
                turns = turns_by_message(packet, stream.codec_context)
            facts = PacketFacts(packet.pts, packet.duration or 0, packet.is_keyframe, not packet.is_discard, packet.dts)
            if not any(memoryview(packet)[:_EMPTY_BYTES]):
                num_empty += 1
                facts = replace(facts, is_key=False, is_shown=False, is_decodable=False)
            packets.append(facts)
            keep(packet)
            is_corrupt = packet.is_corrupt
    except MemoryError:
        raise
    except av.FFmpegError as error:
        failure = error.strerror
    return _Seen(packets, num_empty, is_corrupt, turns), failure


def _check_whole(track: Track, container: InputContainer, stream: VideoStream, failure: str | None) -> None:
    """Raises VideoUnreadable where too much is missing."""
    present = len(track.packets)
    if failure is None:
        is_cut = any(entry.pos + entry.size > container.size for entry in _last_entries(stream))
        check_share(
            present - track.frames_empty,
            present + track.frames_missing,
            f"are in the file: {track.duration_s:.2f} s of video",
            "the file breaks off early, send all of it" if is_cut else "export the video again",
            readable_s=track.duration_s,
        )
        return
    declared_s = _declared_duration_s(container, stream)
    if declared_s is not None and track.duration_s < MIN_SHARE * declared_s:
        raise VideoUnreadable(
            f"the video breaks off or is damaged after {track.duration_s:.2f} s of {declared_s:.2f} s ({failure}); "
            "send the whole file, or export it again",
            readable_s=round(track.duration_s, 3),
        )


def check_share(good: int, expected: int, what: str, way_out: str, *, readable_s: float) -> None:
    """Raises VideoUnreadable below MIN_SHARE. `what` ends the sentence "96 of 100 frames ..."."""
    if good < MIN_SHARE * expected:
        raise VideoUnreadable(
            f"only {good} of {expected} frames {what}; at least {float(MIN_SHARE):.0%} are needed: {way_out}",
            readable_s=round(readable_s, 3),
        )


def _last_entries(stream: VideoStream) -> "list[av.index.IndexEntry]":
    entries = stream.index_entries
    return [entries[len(entries) - 1]] if len(entries) else []


def _declared_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    """What the headers claim of the pictures; None where they claim nothing. Asked only where the packets break off."""
    if stream.duration is not None and stream.duration > 0 and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration is not None and container.duration > 0 else None


def _check_duration(duration_s: float, limits: VideoLimits) -> None:
    if duration_s > limits.duration_s:
        raise VideoLimitExceeded(
            f"the video is {duration_s:.1f} s long, more than the {limits.duration_s:g} s taken; send a part of it",
            duration_s=round(duration_s, 3),
            limit_s=limits.duration_s,
        )


def _has_times(packets: Sequence[PacketFacts], container: InputContainer, stream: VideoStream) -> bool:
    """Whether the container says when each frame is shown.

    AVI holds decoding times alone, and libav's guess at the rest is off where frames are reordered.
    """
    if container.format.name == "avi" and stream.codec_context.codec.reorder:
        return False
    return all(packet.pts is not None for packet in packets if packet.is_shown)


def _extent(
    packets: Sequence[PacketFacts], container: InputContainer, stream: VideoStream, *, has_times: bool
) -> tuple[tuple[int, ...], int]:
    """(times of all frames in order of display, end of the last) in ticks.

    Without times of display, frames are shown at the times of decoding, in order: AVI counts those, and leaves some
    out for a picture that stays. Where there are none either, frames stand at equal distances from 0.
    """
    assert stream.time_base is not None
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    ticks_per_frame = max(1, round(1 / (rate * stream.time_base)))
    shown = [packet for packet in packets if packet.is_shown]
    if not shown:
        return (), 0
    if has_times:
        times = shown_times(shown)
        last = next(packet.duration for packet in shown if packet.pts == times[-1])
    elif all(packet.dts is not None for packet in shown):
        times = sorted(packet.dts for packet in shown if packet.dts is not None)
        last = 0
    else:
        times, last = [index * ticks_per_frame for index in range(len(shown))], ticks_per_frame
    if container.format.name == "avi":  # which tells the same for all
        last = usual_distance(times) if len(times) > 1 else ticks_per_frame
    if last <= 0:  # ASF tells none
        last = round((times[-1] - times[0]) / (len(times) - 1)) if len(times) > 1 else ticks_per_frame
    return tuple(times), times[-1] + max(1, last)
