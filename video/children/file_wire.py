"""What the sandbox and a decoding child say to each other, as `messages` with raw bytes behind. Knows neither end.

parent > child   {"path", "rule", "limits", "look", "most_pixels", "steps_back"}
child > parent   {} once, when it is ready; {} when it begins with a request; {"price"} once the packets
                 are read; then {"pts_s", "absent", "stand_ins", "info"} + the frames that are not absent + view_TB, or
                 {"held"}: the true price, where that is above `most_pixels`. {"error", "detail", "extra"} may come
                 instead of the price or of what follows it
"""

from dataclasses import asdict

import numpy as np

from fovea import errors
from video.children.messages import Header
from video.clip import Clip, ClipRule, DecodePrice, FirstLook, FurtherLook, Look, VideoInfo, VideoLimits

_COUNTS = (
    "width_px",
    "height_px",
    "frames_decoded",
    "frames_sampled",
    "frames_damaged",
    "frames_missing",
    "clock_breaks",
    "decode_pixels",
    "frames_early",
)


def request(
    path: str,
    rule: ClipRule,
    limits: VideoLimits,
    look: Look = None,
    most_pixels: int | None = None,
    *,
    steps_back: bool = False,
) -> Header:
    """`most_pixels`: the highest price at which to decode; None: whatever it costs. `steps_back`: with what all others
    leave of the cores."""
    return {
        "path": path,
        "rule": asdict(rule),
        "limits": asdict(limits),
        "look": None if look is None else {type(look).__name__: asdict(look)},
        "most_pixels": most_pixels,
        "steps_back": steps_back,
    }


def read_request(header: Header) -> tuple[str, ClipRule, VideoLimits, Look]:
    return header["path"], ClipRule(**header["rule"]), VideoLimits(**header["limits"]), look_of(header["look"])


def look_of(said: Header | None) -> Look:
    """What a request says of its look."""
    match said:
        case {
            "FirstLook": {
                "indices": indices,
                "tolerance": tolerance,
                "later": later,
                "keyframes_stay": stay,
                "skip_loop_filter": skips,
            }
        }:
            return FirstLook(tuple(indices), tolerance, None if later is None else tuple(later), stay, skips)
        case {"FurtherLook": {"indices": indices, "others": others, "skip_loop_filter": skips}}:
            return FurtherLook(tuple(indices), tuple(others), skips)
        case _:
            return None


def read_most_pixels(header: Header) -> int | None:
    most_pixels: int | None = header["most_pixels"]
    return most_pixels


def read_steps_back(header: Header) -> bool:
    return bool(header["steps_back"])


def price(of: DecodePrice) -> Header:
    return {"price": asdict(of)}


def read_price(header: Header) -> DecodePrice:
    """ValueError, KeyError or TypeError where it is none."""
    return _price(header["price"])


def held(of: DecodePrice) -> Header:
    """The video costs more than was to be spent."""
    return {"held": asdict(of)}


def read_held(header: Header) -> DecodePrice:
    """ValueError, KeyError or TypeError where it is none."""
    return _price(header["held"])


def _price(said: Header) -> DecodePrice:
    return DecodePrice(frames=int(said["frames"]), pixels=int(said["pixels"]))


def answer(clip: Clip) -> tuple[Header, bytes]:
    """(header, payload) of a decoded clip."""
    present = [index for index in range(len(clip.pts_s)) if index not in clip.absent]
    frames = clip.frames_THWC if not clip.absent else clip.frames_THWC[present]
    header = {
        "pts_s": clip.pts_s,
        "absent": sorted(clip.absent),
        "stand_ins": sorted(clip.stand_ins),
        "info": asdict(clip.info),
    }
    return header, b"".join((np.ascontiguousarray(frames).data, np.ascontiguousarray(clip.view_TB).data))


def payload_bytes(header: Header, rule: ClipRule) -> int:
    """Bytes that follow the header of a clip: the parent's own arithmetic. ValueError or KeyError for nonsense."""
    num_present = rule.num_frames - len(_places(header["absent"], rule))
    return num_present * rule.height_px * rule.width_px * 3 + rule.num_frames * 4 * 4


def read_answer(header: Header, payload: bytes | bytearray, rule: ClipRule) -> Clip:
    """The Clip of a child's answer; ValueError, KeyError or TypeError where it is none."""
    absent, stand_ins = _places(header["absent"], rule), _places(header["stand_ins"], rule)
    if absent & stand_ins:
        raise ValueError(f"the frames {sorted(absent & stand_ins)} are absent and stand in for others")
    present = [index for index in range(rule.num_frames) if index not in absent]
    shape = len(present), rule.height_px, rule.width_px, 3
    split = len(present) * rule.height_px * rule.width_px * 3
    pts_s = tuple(float(value) for value in header["pts_s"])
    if len(pts_s) != rule.num_frames:
        raise ValueError(f"{len(pts_s)} times for {rule.num_frames} frames")
    come_THWC = np.frombuffer(payload, np.uint8, split).reshape(shape)
    if absent:  # the others will be written there
        frames_THWC = np.zeros((rule.num_frames, *shape[1:]), np.uint8)
        frames_THWC[present] = come_THWC
    else:
        frames_THWC = come_THWC.copy()  # writable: torch shares it
    return Clip(
        frames_THWC=frames_THWC,
        pts_s=pts_s,
        view_TB=np.frombuffer(payload, np.float32, offset=split).reshape(rule.num_frames, 4).copy(),
        info=_info(header["info"]),
        num_crops=rule.num_crops,
        absent=absent,
        stand_ins=stand_ins,
    )


def _places(said: object, rule: ClipRule) -> frozenset[int]:
    """Some of a clip's places, not all of them. ValueError where they are none."""
    if not isinstance(said, list) or not all(type(one) is int and 0 <= one < rule.num_frames for one in said):
        raise ValueError(f"{said!r} are no places in a clip of {rule.num_frames} frames")
    if len(set(said)) != len(said) or len(said) == rule.num_frames:
        raise ValueError(f"{said!r} repeat themselves, or leave none of {rule.num_frames} frames")
    return frozenset(said)


def _info(said: Header) -> VideoInfo:
    """Checked, because it goes into answers."""
    for name, kind in (("duration_s", float), ("codec", str), *((name, int) for name in _COUNTS)):
        if type(said[name]) is not kind:
            raise TypeError(f"{name} is {type(said[name]).__name__}, not {kind.__name__}")
    return VideoInfo(**said)


def failure(error: errors.VideoError) -> Header:
    return {"error": error.slug, "detail": error.detail, "extra": error.extra}


def read_failure(header: Header) -> errors.VideoError:
    """The child's error again; a VideoError of the kinds a child may raise, DecodeCrashed for anything else."""
    kinds = (errors.VideoUnreadable, errors.NoVideoStream, errors.VideoLimitExceeded)
    by_slug = {kind.slug: kind for kind in kinds}
    kind = by_slug.get(header["error"], errors.DecodeCrashed)
    return kind(str(header["detail"]), **header.get("extra", {}))
