"""What a camera's process and its child say to each other, as `messages` with raw bytes behind. Knows neither end.

parent > child   {"open": source, "patience", "sampling", "mode"}; {"mode"} at any time
child > parent   {} once, when it is ready; {"opened"}, {"waiting"}, {"broken"}, {"lost"}; {"cell", ...} with a frame
                 behind it
"""

from dataclasses import asdict

import numpy as np

from fovea.words import Clock, ErrorClass, Mode
from video.camera.live import (
    Broken,
    CameraSource,
    Cell,
    Lost,
    Message,
    Opened,
    Patience,
    Picture,
    Progress,
    Sampling,
    Waiting,
)
from video.children import messages
from video.children.messages import Header
from video.clip import ClipRule, VideoLimits

MODES: tuple[Mode, ...] = ("all", "keyframes")


def open_request(source: CameraSource, patience: Patience, sampling: Sampling, mode: Mode) -> Header:
    return {"open": asdict(source), "patience": asdict(patience), "sampling": asdict(sampling), "mode": mode}


def read_open_request(header: Header) -> tuple[CameraSource, Patience, Sampling, Mode]:
    said = header["sampling"]
    cell_us, clock = tuple(said["cell_us"]), Clock(said["clock"])
    sampling = Sampling(ClipRule(**said["rule"]), cell_us, VideoLimits(**said["limits"]), clock)
    source = header["open"]
    source["ports"] = tuple((first, last) for first, last in source["ports"])
    return CameraSource(**source), Patience(**header["patience"]), sampling, header["mode"]


def payload_bytes(rule: ClipRule) -> int:
    """Bytes behind the header of a cell with a picture: the parent's own arithmetic, whatever the child says."""
    return rule.height_px * rule.width_px * 3 + 4 * 4


def pack(message: Message) -> bytes:
    match message:
        case Opened():
            return messages.pack({"opened": asdict(message)})
        case Waiting(since_s):
            return messages.pack({"waiting": since_s})
        case Broken():
            return messages.pack({"broken": True})
        case Lost():
            return messages.pack({"lost": asdict(message)})
        case Cell(index, picture, progress):
            if picture is None:
                return messages.pack({"cell": index, "progress": asdict(progress)})
            facts = {name: getattr(picture, name) for name in ("pts_s", "captured_s", "width_px", "height_px")}
            header = messages.pack({"cell": index, "progress": asdict(progress), "picture": facts})
            return header + picture.frame_HWC.tobytes() + picture.view_B.tobytes()


def unpack(header: Header, payload: bytes, rule: ClipRule) -> Message:
    """The child's message; ValueError, KeyError or TypeError where it is none: a child is not trusted."""
    if "opened" in header:
        return Opened(str(header["opened"]["codec"])[:32])
    if "waiting" in header:
        return Waiting(float(header["waiting"]))
    if "broken" in header:
        return Broken()
    if "lost" in header:
        return Lost(ErrorClass(header["lost"]["error_class"]), str(header["lost"]["detail"])[:500])
    picture = None
    if "picture" in header:
        said = header["picture"]
        split = rule.height_px * rule.width_px * 3
        picture = Picture(
            frame_HWC=np.frombuffer(payload, np.uint8, split).reshape(rule.height_px, rule.width_px, 3),
            view_B=np.frombuffer(payload, np.float32, offset=split),
            pts_s=float(said["pts_s"]),
            captured_s=float(said["captured_s"]),
            width_px=int(said["width_px"]),
            height_px=int(said["height_px"]),
        )
    return Cell(int(header["cell"]), picture, _progress(header["progress"]))


def _progress(said: Header) -> Progress:
    interval_s = said["keyframe_interval_s"]
    if said["mode"] not in MODES:
        raise ValueError(f"{said['mode']!r} is no way to decode")
    if said["clock"] not in {"camera", "arrival"}:
        raise ValueError(f"{said['clock']!r} is no clock")
    return Progress(
        frames_decoded=int(said["frames_decoded"]),
        frames_dropped=int(said["frames_dropped"]),
        keyframe_interval_s=None if interval_s is None else float(interval_s),
        mode=said["mode"],
        clock=said["clock"],
    )
