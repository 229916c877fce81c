"""A file that is opened by its headers alone is read as one of which libav decoded frames to learn what they tell."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.clips import cached_clip, frozen, moving_square, noise
from video.clip import ClipRule, FirstLook, Look, VideoLimits
from video.file import probe
from video.file.avc_headers import only_set
from video.file.decode import decode
from video.file.probe import opened, packets_of
from video.file.scan import scan
from video.file.survey import survey

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)
RULE = ClipRule(num_frames=8, height_px=90, width_px=160, resize="letterbox")
LOOK = FirstLook((1, 4, 6), 0.6, (0, 7), skip_loop_filter=True)


def x264(*params: str, **options: str) -> Any:
    return frozen(x264_params=":".join(("threads=1", *params)), **options)


# Their headers tell all.
TOLD: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "no-b-frames.mp4": {"options": x264("bframes=0")},
    "b-pyramid.mp4": {"gop": 48, "options": x264("bframes=5", "b-pyramid=normal", "b-adapt=0")},
    "b-frames-that-wait-long.mp4": {"gop": 48, "options": x264("bframes=16", "b-adapt=0", "ref=6")},
    "open-gop.mp4": {"options": x264("keyint=12", "scenecut=0", "bframes=3", "open-gop=1")},
    "intra-refresh.mp4": {"options": x264("intra-refresh=1", "keyint=12")},
    "interlaced.mp4": {"options": frozen(flags="+ildct+ilme", x264_params="tff=1:threads=1")},
    "interlaced-cropped.mp4": {"size": (318, 236), "options": frozen(flags="+ildct+ilme", x264_params="bff=1")},
    "baseline.mp4": {"options": x264(profile="baseline")},
    "main.mov": {"options": x264(profile="main")},
    "buffering.mp4": {"options": x264("nal-hrd=vbr", "vbv-maxrate=900", "vbv-bufsize=900", "pic-struct=1")},
    "spoken-colours.mp4": {"options": x264("overscan=show", "chromaloc=2", "transfer=bt709", "colorprim=bt709")},
    "matrices.mp4": {"options": x264("cqm=jvt")},
    "full-range.mp4": {"pix_fmt": "yuvj420p"},
    "cropped.mp4": {"size": (322, 182)},
    "wide-pixels.mp4": {"pixel_aspect": Fraction(4, 3)},
    "odd-pixels.mp4": {"pixel_aspect": Fraction(117, 100)},
    "square-pixels.mp4": {"pixel_aspect": Fraction(1)},
    "rotated.mp4": {"rotate_deg": 90},
    "mirrored.mov": {"mirror": True},
    "index-first.mp4": {"container_options": frozen(movflags="faststart")},
    "with-sound.mp4": {"with_audio": True},
    "irregular.mp4": {"times_s": (0.0, 0.04, 0.08, 0.5, 0.54, 0.9, 0.93, 1.2, 1.9, 2.0, 2.01, 2.6)},
    "begins-late.mp4": {"start_s": 3.0},
    "one-frame.mp4": {"seconds": 0.04},
    "1080-lines.mp4": {"size": (128, 1080), "seconds": 0.2},
}
# Theirs do not, or in a way that is not read.
UNTOLD: dict[str, dict[str, Any]] = {
    "fragmented.mp4": {"container_options": frozen(movflags="frag_keyframe+empty_moov")},
    "10-bit.mp4": {"pix_fmt": "yuv420p10le"},
    "444.mp4": {"pix_fmt": "yuv444p"},
    "422.mp4": {"pix_fmt": "yuv422p"},
    "grey.mp4": {"pix_fmt": "gray"},
    "hevc.mp4": {"codec": "libx265", "options": frozen(x265_params="log-level=none")},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "h264.mkv": {},
    "h264.ts": {},
    "h264.avi": {},
    "h264.flv": {},
    "vp9.webm": {"codec": "libvpx-vp9", "options": frozen(cpu_used="8", deadline="realtime")},
}


def clip(name: str) -> Path:
    how = TOLD.get(name, UNTOLD.get(name, {}))
    return cached_clip(f"opening-{name}", **{"pattern": moving_square} | how)


def is_told(path: Path) -> bool:
    """Whether it is opened without decoding: libav's own decoder would have told the pixels' format of the first."""
    times: list[dict[str, str]] = []
    real = probe._container

    def counting(source: Any, **options: str) -> Any:
        times.append(options)
        return real(source, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "_container", counting)
        with opened(str(path), LIMITS):
            pass
    return times[-1] != {}


def all_told(path: Path) -> list[object]:
    """All that is read of a file, and its frames, by each way of reading it."""
    told: list[object] = [scan(str(path), LIMITS), survey(str(path), LIMITS)]
    with opened(str(path), LIMITS) as (container, stream):
        told += [stream.sample_aspect_ratio or 1, stream.average_rate, stream.guessed_rate, container.duration]
        for packet in packets_of(container, stream):
            told.append((packet.pts, packet.dts, packet.duration, packet.size, packet.is_keyframe, packet.is_discard))
    with opened(str(path), LIMITS) as (container, stream):
        for packet in (*packets_of(container, stream), None):
            for frame in stream.codec_context.decode(packet):
                told.append((frame.pts, frame.dts, frame.width, frame.height, frame.format.name, frame.key_frame))
                told.append((frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries))
                told.append(frame.to_ndarray().tobytes())
    looks: tuple[Look, ...] = (None, LOOK)
    for found in (decode(str(path), RULE, LIMITS, look) for look in looks):
        told += [found.pts_s, found.info, found.absent, found.frames_THWC.tobytes(), found.view_TB.tobytes()]
    return told


def assert_same_by_decoding(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_headers = all_told(path)
    monkeypatch.setattr(probe, "headers_tell_all", lambda path, container: False)
    assert by_headers == all_told(path)


@pytest.mark.parametrize("name", sorted(TOLD))
def test_a_file_whose_headers_tell_all_is_read_as_one_that_was_decoded_to_learn_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clip(name)
    assert is_told(path)
    assert_same_by_decoding(path, monkeypatch)


@pytest.mark.parametrize("name", sorted(UNTOLD))
def test_libav_decodes_frames_of_files_whose_headers_leave_something_open(name: str) -> None:
    assert not is_told(clip(name))


def rewritten(source: Path, out: Path, change: Callable[[bytes], bytes]) -> Path:
    content = source.read_bytes()
    changed = change(content)
    assert changed != content
    assert len(changed) == len(content)
    out.write_bytes(changed)
    return out


def test_a_pixel_aspect_that_pictures_alone_tell_is_decoded_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rewritten(clip("wide-pixels.mp4"), tmp_path / "a.mp4", lambda content: content.replace(b"pasp", b"free"))
    assert not is_told(path)
    assert scan(str(path), LIMITS).width_px == 320
    assert decode(str(path), RULE, LIMITS).info.width_px == round(320 * 4 / 3)
    assert_same_by_decoding(path, monkeypatch)


def set_of(content: bytes) -> bytes:
    """Its sequence parameter set."""
    start = content.index(b"avcC") + 4
    length = int.from_bytes(content[start + 6 : start + 8])
    return content[start + 8 : start + 8 + length]


def without_usability(content: bytes) -> bytes:
    """Its sequence parameter set without the part that tells of aspect, colours and order; zeros in its place."""
    whole = set_of(content)
    bits = "".join(f"{byte:08b}" for byte in whole)
    for place in range(40, len(bits)):
        short = bits[:place] + "01"
        unit = int(short.ljust(len(bits), "0"), 2).to_bytes(len(whole))
        record = content[content.index(b"avcC") + 4 :][:8] + unit
        told = only_set(record)
        if told is not None and (told.width_px, told.height_px, told.num_reordered) == (320, 240, None):
            return content.replace(whole, unit)
    raise AssertionError("no such place")


@pytest.mark.parametrize("name", ["plain.mp4", "b-pyramid.mp4"])
def test_how_far_frames_are_reordered_is_decoded_for_where_it_is_not_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rewritten(clip(name), tmp_path / "a.mp4", without_usability)
    assert not is_told(path)
    assert_same_by_decoding(path, monkeypatch)


def test_a_size_that_the_container_tells_otherwise_is_decoded_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, other = ((320).to_bytes(2) + (240).to_bytes(2), (160).to_bytes(2) + (120).to_bytes(2))
    path = rewritten(clip("plain.mp4"), tmp_path / "a.mp4", lambda content: content.replace(size, other))
    assert not is_told(path)
    assert_same_by_decoding(path, monkeypatch)


def test_parameter_sets_among_the_pictures_are_decoded_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another aspect than the index tells, in the second keyframe."""
    path = tmp_path / "a.mp4"
    with av.open(str(clip("plain.mp4"))) as reading, av.open(str(path), "w") as writing:
        video = reading.streams.video[0]
        made = writing.add_stream_from_template(video)
        unit = set_of(clip("wide-pixels.mp4").read_bytes())
        for packet in reading.demux(video):
            if not packet.size:
                continue
            content = bytes(packet)
            if packet.is_keyframe and packet.pts:
                content = len(unit).to_bytes(4) + unit + content
            longer = av.Packet(content)
            longer.pts, longer.dts, longer.time_base = packet.pts, packet.dts, packet.time_base
            longer.is_keyframe, longer.stream = packet.is_keyframe, made
            writing.mux(longer)
    assert not is_told(path)
    assert_same_by_decoding(path, monkeypatch)


def test_of_two_films_in_one_file_the_same_is_read_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as writing:
        made = [writing.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, size in zip(made, ((160, 120), (320, 240)), strict=True):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(5):
            for stream in made:
                frame = av.VideoFrame.from_ndarray(moving_square(number, stream.width, stream.height), format="rgb24")
                writing.mux(stream.encode(frame.reformat(format="yuv420p")))
        for stream in made:
            writing.mux(stream.encode(None))
    assert not is_told(path)
    assert_same_by_decoding(path, monkeypatch)


@pytest.mark.parametrize("seed", range(12))
def test_damage_is_read_as_ever_whatever_the_headers_tell(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise over the pictures, or over the index."""
    rng = np.random.default_rng(seed)
    content = bytearray(cached_clip("opening-damage.mp4", size=(160, 120), pattern=noise).read_bytes())
    index = content.index(b"moov")
    low, high = (index, len(content)) if seed % 2 else (content.index(b"mdat") + 4, index)
    for place in rng.integers(low, high, 6):
        content[place] = rng.integers(256)
    path = tmp_path / "a.mp4"
    path.write_bytes(content)

    def outcome() -> object:
        try:
            return all_told(path)
        except Exception as error:
            return type(error), str(error)

    by_headers = outcome()
    monkeypatch.setattr(probe, "headers_tell_all", lambda path, container: False)
    assert by_headers == outcome()
