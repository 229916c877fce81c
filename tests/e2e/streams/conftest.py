"""What cameras show in these tests, and the service that watches them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.clips import Frozen, cached_clip, frozen, moving_square
from tests.serving import Served, serving

FPS = 16  # frames lie on binary fractions of a second: windows and files cut at the same frames
LOOPBACK = "127.0.0.0/8"

# Every frame refers to the one before alone, as cameras send it.
CAMERA_LIKE = frozen(tune="zerolatency", bf="0", sc_threshold="0")
H265_CAMERA_LIKE = Frozen([("x265-params", "bframes=0:scenecut=0:log-level=none"), ("tune", "zerolatency")])
COLOURS = ((150, 30, 30), (30, 150, 30), (30, 30, 150))
COLOUR_FRAMES = 24


def coloured_numbers(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """`moving_square` on a ground that changes its colour every 24 frames."""
    frame_HWC = moving_square(number, width, height)
    colour = np.array(COLOURS[number // COLOUR_FRAMES % 3], np.uint8)
    return np.where(frame_HWC < 100, colour, frame_HWC)


def footage(
    name: str = "camera.mp4",
    *,
    gop: int = 8,
    size: tuple[int, int] = (320, 180),
    slices: str = "1",
    codec: str = "libx264",
) -> Path:
    """Six seconds of it, a keyframe every half second."""
    options = Frozen([*CAMERA_LIKE, ("slices", slices)]) if codec == "libx264" else H265_CAMERA_LIKE
    return cached_clip(
        name, pattern=coloured_numbers, seconds=6.0, fps=FPS, gop=gop, size=size, codec=codec, options=options
    )


@pytest.fixture(scope="package")
def watching() -> Iterator[Served]:
    """A service that may watch cameras on this machine, and does not wait for minutes after a wrong password."""
    with serving(
        stream_allowed_networks=f"{LOOPBACK},10.251.0.0/16",
        stream_ports="1-65535",
        stream_auth_retry_s=1.0,
        stream_backoff_cap_s=2.0,
        max_streams=64,
    ) as service:
        yield service
