"""A camera's picture for people: as the camera shows it, whatever the model wants to see."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.streams.snapshot import Snapshot, snapshot
from video.camera.live import Picture

RED, BLACK = (200, 30, 30), (0, 0, 0)


def image(frame_HWC: NDArray[np.uint8], view: tuple[float, float, float, float], size: tuple[int, int]) -> Image.Image:
    picture = Picture(frame_HWC, np.array(view, np.float32), 0.0, 0.0, *size)
    return Image.open(io.BytesIO(snapshot(picture).jpeg))


def letterboxed() -> NDArray[np.uint8]:
    frame_HWC = np.zeros((160, 160, 3), np.uint8)
    frame_HWC[35:125] = RED
    return frame_HWC


def test_black_bars_are_no_part_of_the_picture() -> None:
    shown = image(letterboxed(), (0.0, -35 / 90, 1.0, 160 / 90), (1280, 720))
    assert (shown.format, shown.size) == ("JPEG", (160, 90))
    assert np.asarray(shown)[[0, -1]].mean(axis=(0, 1)) == pytest.approx(RED, abs=12)


@pytest.mark.parametrize(
    ("size", "shown"), [((1280, 720), (160, 90)), ((720, 1280), (90, 160)), ((64, 64), (160, 160))]
)
def test_what_was_stretched_has_the_cameras_proportions_again(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert image(np.full((160, 160, 3), RED, np.uint8), (0.0, 0.0, 1.0, 1.0), size).size == shown


def test_of_a_picture_whose_sides_were_cut_the_rest_is_shown() -> None:
    assert image(np.full((160, 160, 3), RED, np.uint8), (0.21875, 0.0, 0.5625, 1.0), (1280, 720)).size == (160, 160)


def test_it_travels_between_replicas_with_the_time_it_was_taken() -> None:
    taken = Snapshot(1764036000.123, bytes(range(256)))
    assert Snapshot.unpacked(taken.packed()) == taken
