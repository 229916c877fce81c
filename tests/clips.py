"""Synthetic clips for tests, made with PyAV's own encoders. Knows nothing of the service or of pytest.

Every pattern draws frame n as RGB, so that a test can tell from the pixels which frame it got and where things lie.
Shape suffixes: H rows, W columns, C colour channels.
"""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

Pattern = Callable[[int, int, int], NDArray[np.uint8]]  # (frame number, width, height) -> frame_HWC

_TAGS = {"ITU601": 6, "ITU709": 1}  # AVColorSpace: SMPTE170M, BT709

CELLS = 16  # the moving square visits a CELLS x CELLS grid in reading order: 256 frames are told apart


def moving_square(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """A white square on dark grey; the grid cell it fills tells the frame number (see `read_number`)."""
    frame_HWC = np.full((height, width, 3), 40, np.uint8)
    row, column = divmod(number % CELLS**2, CELLS)
    rows = slice(row * height // CELLS, (row + 1) * height // CELLS)
    columns = slice(column * width // CELLS, (column + 1) * width // CELLS)
    frame_HWC[rows, columns] = 235
    return frame_HWC


def corner_square(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """A still white square over x in [1/4, 1/2) and y in [1/8, 1/4) of the picture: no symmetry maps it to itself."""
    frame_HWC = np.full((height, width, 3), 20, np.uint8)
    frame_HWC[height // 8 : height // 4, width // 4 : width // 2] = 235
    return frame_HWC


def noise(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Smooth texture that drifts and changes: every frame differs everywhere, so wrong references show."""
    rng = np.random.default_rng(7)
    coarse_HWC = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    texture_HWC = np.kron(coarse_HWC, np.ones((8, 8, 1), np.uint8))
    drift = np.roll(texture_HWC, (3 * number, 5 * number), axis=(0, 1))[:height, :width]
    return (drift // 2 + (number * 3) % 120).astype(np.uint8)


def solid(red: int, green: int, blue: int) -> Pattern:
    """Every frame one colour."""
    colour = np.array([red, green, blue], np.uint8)
    return lambda number, width, height: np.broadcast_to(colour, (height, width, 3)).copy()


def write_clip(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: float = 25,
    size: tuple[int, int] = (320, 240),
    codec: str = "libx264",
    container: str | None = None,
    gop: int = 12,
    pattern: Pattern = moving_square,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotate_deg: int = 0,
    mirror: bool = False,
    pixel_aspect: Fraction | None = None,
    colorspace: str = "ITU601",
    tag_colours: bool = True,
    start_s: float = 0.0,
    times_s: Sequence[float] | None = None,
    with_audio: bool = False,
) -> Path:
    """Encode a clip to `path`; returns `path`.

    `container`: libav's name, guessed from the suffix when None. `pattern` gets the *coded* size, before rotation and
    pixel aspect. `rotate_deg`: how far a player turns the picture, clockwise; `mirror`: it mirrors it, left to right.
    `colorspace`: how RGB becomes YUV (ITU601 or ITU709), and with `tag_colours` the file says so. `start_s`: when the
    first frame is shown. `times_s`: when each frame is (variable frame rate), in place of `seconds` and `fps`.
    """
    width, height = size
    rate = Fraction(fps).limit_denominator(1001)
    count = max(1, round(seconds * fps)) if times_s is None else len(times_s)
    color_range = "JPEG" if pix_fmt.startswith(("yuvj", "rgb", "gbr")) else "MPEG"
    with av.open(str(path), "w", format=container, container_options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=dict(options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1  # the same bytes everywhere
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotate_deg or mirror:
            stream.set_display_rotation(-rotate_deg, hflip=mirror)  # libav counts counterclockwise
        if tag_colours and not pix_fmt.startswith(("rgb", "gbr", "gray")):
            stream.codec_context.colorspace = _TAGS[colorspace]
        sound = output.add_stream("aac", rate=8000) if with_audio else None
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(pattern(number, width, height), format="rgb24")
            frame = frame.reformat(format=pix_fmt, dst_colorspace=colorspace, dst_color_range=color_range)
            if times_s is None:
                frame.pts, frame.time_base = number + round(start_s * fps), 1 / rate
            else:
                frame.pts, frame.time_base = round(times_s[number] * 1000), Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            _mux_silence(output, sound, seconds)
    return path


def write_bomb(path: Path, *, frames: int, size: tuple[int, int] = (3840, 2160), fps: int = 30) -> Path:
    """An mp4 that is small and costly to decode: one keyframe, then frames in which nothing changes.

    H.264 numbers frames modulo 16 here, so 16 such frames may be told again and again: only those are encoded.
    """
    with av.open(str(path), "w") as output:
        stream = output.add_stream(
            "libx264", rate=fps, options={"preset": "ultrafast", "x264-params": "keyint=infinite"}
        )
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.thread_count = 1
        picture = av.VideoFrame.from_ndarray(moving_square(0, *size), format="rgb24").reformat(format="yuv420p")
        packets = []
        for number in range(17):
            picture.pts, picture.time_base = number, Fraction(1, fps)
            packets += stream.encode(picture)
        packets += stream.encode(None)
        told = [bytes(packet) for packet in packets]
        for number in range(frames):
            packet = av.Packet(told[number if number == 0 else 1 + (number - 1) % 16])
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, fps), number == 0
            packet.pts = packet.dts = number
            packet.duration = 1
            output.mux(packet)
    return path


def write_audio(path: Path, *, seconds: float = 1.0, cover: bool = False) -> Path:
    """A file with sound and no moving picture; with `cover`, a still one as music files carry it."""
    with av.open(str(path), "w") as output:
        sound = output.add_stream("aac", rate=8000)
        if cover:
            art = output.add_stream("mjpeg", rate=1)
            art.width, art.height, art.pix_fmt = 64, 64, "yuvj420p"
            art.disposition = Disposition.attached_pic
            picture = av.VideoFrame.from_ndarray(moving_square(0, 64, 64), format="rgb24").reformat(format="yuvj420p")
            output.mux(art.encode(picture))
            output.mux(art.encode(None))
        _mux_silence(output, sound, seconds)
    return path


@functools.cache
def cached_clip(name: str, **how: object) -> Path:
    """`write_clip` under `name`, once per test session. `how` must be hashable: give options as `frozen(...)`."""
    folder = Path(tempfile.mkdtemp(dir=_session_folder()))
    return write_clip(
        folder / name, **{key: dict(value) if isinstance(value, Frozen) else value for key, value in how.items()}
    )


class Frozen(tuple[tuple[str, str], ...]):
    """Options as a hashable value."""


def frozen(**options: str) -> Frozen:
    return Frozen((key.replace("_", "-"), value) for key, value in options.items())


def read_number(frame_HWC: NDArray[np.uint8], view_B: Sequence[float] = (0.0, 0.0, 1.0, 1.0)) -> int:
    """The number of a `moving_square` frame, given the region (x, y, w, h) of the source that `frame_HWC` shows."""
    height, width, _ = frame_HWC.shape
    x, y, w, h = (float(value) for value in view_B)
    centres = (np.arange(CELLS) + 0.5) / CELLS
    columns = ((centres - x) / w * width).astype(int)
    rows = ((centres - y) / h * height).astype(int)
    cells = np.full((CELLS, CELLS), -1.0)
    inside = np.ix_((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    seen = frame_HWC.mean(axis=2)[np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))]
    cells[inside] = seen[inside]
    return int(cells.argmax())


def read_box(frame_HWC: NDArray[np.uint8], threshold: int = 128) -> tuple[float, float, float, float]:
    """The bright region of a frame as (x, y, w, h) in pixels, to about a pixel."""
    bright = frame_HWC.mean(axis=2) > threshold
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1


def _mux_silence(output: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    for number in range(max(1, round(seconds * 8000 / 1024))):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, number * 1024, Fraction(1, 8000)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


@functools.cache
def _session_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fovea-clips-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
