"""What the sandbox and a decoding child say to each other of a video that still arrives, as `messages`. Knows neither.

parent > child   {"follow", "rule", "limits", "look", "num_bytes", "end_from", "most_pixels"}; then {"arrived"} again
                 and again: so many bytes lie in the file; at last {"ended"}: all of them do, or {"over"}: the child is
                 needed elsewhere. What comes after the child's answer is not heard
child > parent   {} when it begins; {"early"} + frames + views, in the end
parent > child   {"early", "num_decoded", "busy_s"} in a request for a clip (`file_wire`), + the same, behind it
"""

from dataclasses import asdict

import numpy as np

from video.children.file_wire import look_of
from video.children.messages import Header
from video.clip import ClipRule, EarlyFrames, Look, VideoLimits

_HEARD_WHILE_FOLLOWING = frozenset({"arrived", "ended", "over"})


def follow(
    path: str,
    rule: ClipRule,
    limits: VideoLimits,
    look: Look,
    num_bytes: int,
    most_pixels: int,
    end_from: int | None = None,
) -> Header:
    """`num_bytes`: that lie there already; `end_from`: from there on all do, too."""
    return {
        "follow": path,
        "rule": asdict(rule),
        "limits": asdict(limits),
        "look": None if look is None else {type(look).__name__: asdict(look)},
        "num_bytes": num_bytes,
        "end_from": end_from,
        "most_pixels": most_pixels,
    }


def read_follow(header: Header) -> tuple[str, ClipRule, VideoLimits, Look, int, int, int | None]:
    rule, limits = ClipRule(**header["rule"]), VideoLimits(**header["limits"])
    told = header["num_bytes"], header["most_pixels"], header["end_from"]
    return header["follow"], rule, limits, look_of(header["look"]), *told


def arrived(num_bytes: int) -> Header:
    return {"arrived": num_bytes}


ENDED: Header = {"ended": True}
OVER: Header = {"over": True}


def is_late(header: Header) -> bool:
    """Whether the message is for a child that follows a video: it has answered already."""
    return bool(header.keys() & _HEARD_WHILE_FOLLOWING)


def early(of: EarlyFrames | None) -> tuple[Header, bytes]:
    """(what a header says of the frames, the payload behind it)."""
    if of is None:
        return {"early": []}, b""
    each = zip(of.packets, of.digests, of.displayed, strict=True)
    return {
        "early": [[packet, digest, *displayed] for packet, digest, displayed in each],
        "num_decoded": of.num_decoded,
        "busy_s": of.busy_s,
    }, of.frames_NHWC.tobytes() + of.view_NB.tobytes()


def payload_bytes(header: Header, rule: ClipRule) -> int:
    """Bytes that follow: the reader's own arithmetic. ValueError, KeyError or TypeError for nonsense."""
    if len(header["early"]) > 4 * rule.num_frames:
        raise ValueError(f"{len(header['early'])} frames for a clip of {rule.num_frames}")
    return len(header["early"]) * (rule.height_px * rule.width_px * 3 + 4 * 4)


def read_early(header: Header, payload: bytes | bytearray, rule: ClipRule) -> EarlyFrames | None:
    """ValueError, KeyError or TypeError where it is none."""
    said = [(int(packet), str(digest), int(width), int(height)) for packet, digest, width, height in header["early"]]
    if not said:
        return None
    shape = len(said), rule.height_px, rule.width_px, 3
    split = len(said) * rule.height_px * rule.width_px * 3
    return EarlyFrames(
        packets=tuple(packet for packet, *_ in said),
        digests=tuple(digest for _, digest, *_ in said),
        frames_NHWC=np.frombuffer(payload, np.uint8, split).reshape(shape),
        view_NB=np.frombuffer(payload, np.float32, offset=split).reshape(len(said), 4),
        displayed=tuple((width, height) for *_, width, height in said),
        num_decoded=int(header["num_decoded"]),
        busy_s=float(header["busy_s"]),
    )
