"""One decoded frame to RGB of the size a model wants, upright, and where each pixel of it came from.

Knows nothing of files, streams and time. Shape suffixes: H rows, W columns, C colour channels, B box sides.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from video.clip import ClipRule
from video.file.colour import Colour, colour_of, scaled

# The same on every machine, and exact: without FULL_CHR_H_INT libav halves the colour resolution of its *output* and
# darkens it by two levels. Shrinking much, averaging areas is nearest to the mean of the source pixels (58 dB against
# bicubic's 47 on real video) and takes a third of the time; else bicubic is sharper.
_EXACT = Interpolation.ACCURATE_RND | Interpolation.BITEXACT | Interpolation.FULL_CHR_H_INT
_SHRINKS_MUCH = 2


@dataclass(frozen=True, slots=True)
class Orientation:
    """How to turn the coded picture into the displayed one: transpose first, then flip."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """The displayed picture scaled to width x height and laid at (left, top) of the clip frame; negative: cut off."""

    width_px: int
    height_px: int
    left_px: int
    top_px: int


class Painter:
    """Turns frames into pixels by one rule. Not thread-safe: it keeps its scalers."""

    def __init__(self, rule: ClipRule, pixel_aspect: Fraction | None, orientation: Orientation | None = None) -> None:
        """`orientation`: of frames before any of them tells its own; what one tells holds for those that follow."""
        self._rule = rule
        self._orientation = orientation or Orientation()
        self._pixel_aspect = pixel_aspect if pixel_aspect else Fraction(1)
        self._to_source, self._to_frame = VideoReformatter(), VideoReformatter()

    def displayed_size(self, frame: VideoFrame) -> tuple[int, int]:
        """(width, height) in pixels, as a player shows the frame."""
        return displayed_size(frame.width, frame.height, self._pixel_aspect, self._follow(frame))

    def _follow(self, frame: VideoFrame) -> Orientation:
        self._orientation = orientation_of(frame) or self._orientation
        return self._orientation

    def paint(self, frame: VideoFrame) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """(frame_HWC of the rule's size, view_B of `Clip`)."""
        rule, orientation = self._rule, self._follow(frame)
        source = displayed_size(frame.width, frame.height, self._pixel_aspect, orientation)
        small = _to_short_side(source, rule.source_short_side_px)
        picture, colour = frame, colour_of(frame)
        if small != source:
            picture = _scale(self._to_source, picture, *_coded(small, orientation), colour)
        crop = _one_crop(rule)
        place = place_in(small, crop)
        picture = _scale(self._to_frame, picture, *_coded((place.width_px, place.height_px), orientation), colour)
        picture_HWC = _orient(colour.pixels(picture), orientation)
        if rule.num_crops == 1:
            return _lay(picture_HWC, place, rule), view_of(place, rule)
        crops = [_lay(picture_HWC, one, crop) for one in _from_end_to_end(place, crop)]
        return np.concatenate(crops, axis=1), view_of(place, crop)


def orientation_of(frame: VideoFrame) -> Orientation | None:
    """From the display matrix, x' = a x + c y and y' = b x + d y: the nearest of the eight right-angled ones.

    None where the frame has none: containers give it to every frame, coded streams to the first of some.
    """
    side_data = cast(SideDataContainer, frame.side_data).get(SideDataType.DISPLAYMATRIX)
    if side_data is None:
        return None
    a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(flip_x=a < 0, flip_y=d < 0)
    return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0)


def displayed_size(width: int, height: int, pixel_aspect: Fraction, orientation: Orientation) -> tuple[int, int]:
    """(width, height) after pixel aspect and orientation; the height of the coded picture is kept."""
    size = max(1, round(width * pixel_aspect)), height
    return (size[1], size[0]) if orientation.transpose else size


def place_in(source: tuple[int, int], rule: ClipRule) -> Placement:
    """Where the displayed picture of size `source` (width, height) goes in the clip frame."""
    width, height = rule.width_px, rule.height_px
    if rule.resize == "stretch":
        return Placement(width, height, 0, 0)
    ratios = Fraction(width, source[0]), Fraction(height, source[1])
    if rule.resize == "letterbox":
        scaled = tuple(max(1, round(side * min(ratios))) for side in source)
    else:
        scaled = tuple(round(side * max(ratios)) for side in source)
    return Placement(scaled[0], scaled[1], (width - scaled[0]) // 2, (height - scaled[1]) // 2)


def _one_crop(rule: ClipRule) -> ClipRule:
    """The rule of one crop, for a rule of several."""
    if rule.num_crops == 1:
        return rule
    return replace(rule, width_px=rule.width_px // rule.num_crops, resize="center_crop")


def _from_end_to_end(middle: Placement, crop: ClipRule) -> tuple[Placement, Placement, Placement]:
    """The picture's start, its middle and its end laid in the crop."""
    start = replace(middle, left_px=0, top_px=0)
    end = replace(middle, left_px=crop.width_px - middle.width_px, top_px=crop.height_px - middle.height_px)
    return start, middle, end


def view_of(place: Placement, rule: ClipRule) -> NDArray[np.float32]:
    """`Clip.view_TB`'s row: the region of the displayed source that the clip frame shows, normalised."""
    return np.array(
        [
            -place.left_px / place.width_px,
            -place.top_px / place.height_px,
            rule.width_px / place.width_px,
            rule.height_px / place.height_px,
        ],
        np.float32,
    )


def _to_short_side(size: tuple[int, int], short_side_px: int | None) -> tuple[int, int]:
    if short_side_px is None or min(size) <= short_side_px:
        return size
    ratio = Fraction(short_side_px, min(size))
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def _coded(size: tuple[int, int], orientation: Orientation) -> tuple[int, int]:
    """A displayed size as the coded picture has it."""
    return (size[1], size[0]) if orientation.transpose else size


def _scale(scaler: VideoReformatter, frame: VideoFrame, width: int, height: int, colour: Colour) -> VideoFrame:
    shrinks_much = frame.width >= _SHRINKS_MUCH * width and frame.height >= _SHRINKS_MUCH * height
    interpolation = _EXACT | (Interpolation.AREA if shrinks_much else Interpolation.BICUBIC)
    return scaled(scaler, frame, width, height, colour, interpolation)


def _orient(picture_HWC: NDArray[np.uint8], orientation: Orientation) -> NDArray[np.uint8]:
    if orientation.transpose:
        picture_HWC = picture_HWC.swapaxes(0, 1)
    return picture_HWC[:: -1 if orientation.flip_y else 1, :: -1 if orientation.flip_x else 1]


def _lay(picture_HWC: NDArray[np.uint8], place: Placement, rule: ClipRule) -> NDArray[np.uint8]:
    """Cut what reaches beyond the clip frame; black where the picture does not reach."""
    frame_HWC = np.zeros((rule.height_px, rule.width_px, 3), np.uint8)
    to_rows, from_rows = _overlap(place.top_px, place.height_px, rule.height_px)
    to_columns, from_columns = _overlap(place.left_px, place.width_px, rule.width_px)
    frame_HWC[to_rows, to_columns] = picture_HWC[from_rows, from_columns]
    return frame_HWC


def _overlap(offset: int, length: int, room: int) -> tuple[slice, slice]:
    """(slice of the clip frame, slice of the picture) along one axis."""
    start, stop = max(0, offset), min(room, offset + length)
    return slice(start, stop), slice(start - offset, stop - offset)
