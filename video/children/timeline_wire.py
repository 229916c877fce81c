"""What a timeline's process and its child say to each other, as `messages` with raw bytes behind. Knows neither end.

parent > child   {"path", "rule", "limits"} once; then {"mode", "first", "last", "cell_us"} again and again
child > parent   {} when it is ready, and as a sign of life; {"survey"}; then for each cell asked for {"cell"}, with
                 {"picture"} and the picture's bytes behind it where it has one, and {"work"} after the last;
                 {"error", "detail", "extra"} may come in place of any of these
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from video.children.messages import Header
from video.clip import ClipRule, VideoLimits
from video.file.cells import CellPicture, FileFacts, Work


def open_request(path: str, rule: ClipRule, limits: VideoLimits) -> Header:
    return {"path": path, "rule": asdict(rule), "limits": asdict(limits)}


def read_open_request(header: Header) -> tuple[str, ClipRule, VideoLimits]:
    return header["path"], ClipRule(**header["rule"]), VideoLimits(**header["limits"])


def facts(of: FileFacts) -> Header:
    return {"survey": asdict(of)}


def read_facts(header: Header) -> FileFacts:
    """Checked, because it goes into answers. ValueError, KeyError or TypeError where it is none."""
    said = header["survey"]
    return FileFacts(
        codec=str(said["codec"]),
        duration_s=float(said["duration_s"]),
        declared_s=_number(said["declared_s"]),
        keyframe_interval_s=_number(said["keyframe_interval_s"]),
        num_packets=int(said["num_packets"]),
        clock_breaks=int(said["clock_breaks"]),
        is_broken=bool(said["is_broken"]),
        failure=None if said["failure"] is None else str(said["failure"]),
    )


def cell(index: int, picture: CellPicture | None) -> tuple[Header, bytes]:
    if picture is None:
        return {"cell": index}, b""
    told = {"pts_s": picture.pts_s, "width_px": picture.width_px, "height_px": picture.height_px}
    return {"cell": index, "picture": told}, picture.frame_HWC.tobytes() + picture.view_B.tobytes()


def payload_bytes(rule: ClipRule) -> int:
    """Bytes behind a cell with a picture: the parent's own arithmetic, whatever the child says."""
    return rule.height_px * rule.width_px * 3 + 4 * 4


def read_picture(header: Header, payload: bytes, rule: ClipRule) -> CellPicture | None:
    """None where the cell has none. ValueError, KeyError or TypeError where it makes no sense."""
    if "picture" not in header:
        return None
    said = header["picture"]
    split = rule.height_px * rule.width_px * 3
    return CellPicture(
        frame_HWC=np.frombuffer(payload, np.uint8, split).reshape(rule.height_px, rule.width_px, 3),
        view_B=np.frombuffer(payload, np.float32, offset=split),
        pts_s=float(said["pts_s"]),
        width_px=int(said["width_px"]),
        height_px=int(said["height_px"]),
    )


def work(of: Work) -> Header:
    return {"work": asdict(of)}


def read_work(header: Header) -> Work:
    """ValueError, KeyError or TypeError where it is none."""
    return Work(**{name: int(value) for name, value in header["work"].items()})


def _number(said: Any) -> float | None:
    return None if said is None else float(said)
