"""A camera's window is answered as the same pictures would be, posted as a file."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.cameras import camera
from tests.clips import read_number
from tests.serving import serving
from tests.streaming import Heard, following, subscribe
from tests.tiny import TinyRecognizer, TinyState

from .conftest import FPS, LOOPBACK, footage

NUM_WINDOWS = 12
WINDOW_S = 2.0


class Witness(TinyRecognizer):
    """Keeps the clips it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.clips: list[NDArray[np.uint8]] = []

    def glance(self, clips_THWC: list[NDArray[np.uint8]]) -> list[TinyState]:  # type: ignore[override]
        self.clips += [clip_THWC.copy() for clip_THWC in clips_THWC]
        return super().glance(clips_THWC)


def is_whole(results: list[Heard], number: int) -> bool:
    """Whether that window is a full one, and all of its frames were decoded: a busy machine leaves some out."""
    its_time = results[max(0, number - 5) : number + 1]  # two seconds, and what came before the first of them
    return not results[number].data["window"]["partial"] and not any(one.data["frames"]["dropped"] for one in its_time)


def cut(frames: list[av.VideoFrame], first: int, count: int, path: Path) -> bytes:
    """`count` frames from `first` on, in a loop, as a file that loses nothing."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=FPS, options={"qp": "0"})
        stream.codec_context.gop_size = 1  # so that any frame may be taken
        stream.codec_context.colorspace = frames[0].colorspace
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for number in range(count):
            frame = frames[(first + number) % len(frames)]
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("slices", ["1", "4"])  # the camera repeats its parameter sets before each slice of a keyframe
def test_with_all_frames_decoded_labels_and_pixels_are_those_of_the_same_windows_as_uploads(
    tmp_path: Path, slices: str
) -> None:
    file, witness = footage(f"slices-{slices}.mp4", slices=slices), Witness()
    with camera(file, fps=FPS) as cam, serving(witness, stream_allowed_networks=LOOPBACK) as service:
        stream = subscribe(service.client, cam.url(), window_s=WINDOW_S, decode="all")
        with following(service.client, stream, last_id="0-0") as follower:
            results = [follower.wait_for_result()]
            while sum(is_whole(results, number) for number in range(len(results))) < NUM_WINDOWS:
                results.append(follower.wait_for_result())
        service.client.delete(f"/v1/streams/{stream}")
        live_clips = witness.clips[: len(results)]
        full = [
            (heard.data, clip)
            for number, (heard, clip) in enumerate(zip(results, live_clips, strict=True))
            if is_whole(results, number)
        ]
        assert len(full) >= NUM_WINDOWS

        with av.open(str(file)) as container:
            frames = list(container.decode(video=0))
        # a window's first picture is the one nearest to the middle of its first quarter: the fifth of eight frames,
        # the earlier on a tie
        data, clip = full[0]
        start = round(data["window"]["start_s"] * FPS)
        offset = read_number(clip[0]) - start - FPS // 4
        labels = []
        for data, clip in full:
            first = round(data["window"]["start_s"] * FPS) + offset
            answer = service.post(cut(frames, first, round(WINDOW_S * FPS), tmp_path / "window.mp4")).json()
            assert answer["predictions"] == data["recognition"]["predictions"]
            np.testing.assert_array_equal(witness.clips[-1], clip)
            labels.append(answer["predictions"][0]["label"])
        assert len(set(labels)) > 1, "a camera that shows one thing alone proves little"
        told = [data["recognition"]["predictions"][0]["label"] for data, _ in full]
        assert told == labels
