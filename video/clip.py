"""The values that pass between decoding and everything else. Knows neither libav nor a model.

Shape suffixes: T frames, N of some of them, H rows, W columns, C colour channels, B box sides.
"""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Resize: TypeAlias = Literal["letterbox", "center_crop", "stretch", "three_crops"]
NUM_CROPS = 3


@dataclass(frozen=True, slots=True)
class ClipRule:
    """Which frames to sample, and the size to bring them to.

    One frame is taken from each of `num_frames` equal segments of the video, or of `window_s` seconds in its middle
    (when set and shorter). A frame is first brought to `source_short_side_px` (when set and smaller), then to
    `height_px` x `width_px`:
    `letterbox` keeps all of it and pads with black, `center_crop` fills the size and cuts the rest, `stretch` distorts.
    `three_crops` fills a third of the width as `center_crop` does, and lays three such crops side by side: from one end
    of what the first would cut to the other (left, centre, right; of upright pictures top, centre, bottom).
    """

    num_frames: int
    height_px: int
    width_px: int
    resize: Resize
    source_short_side_px: int | None = None
    window_s: float | None = None

    @property
    def num_crops(self) -> int:
        """Pictures that lie side by side in a frame."""
        return NUM_CROPS if self.resize == "three_crops" else 1


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """What a video may cost at most before it is refused."""

    duration_s: float  # 600.0 is ten minutes
    frame_pixels: int  # 3840 * 2160 = 8_294_400 takes 4K
    frames: int  # packets of the video stream; 600 s at 60 fps = 36_000


@dataclass(frozen=True, slots=True)
class FirstLook:
    """Which frames of a clip are wanted first (decision 0039). Those that may be wanted later are decoded at once where
    looking first saves too little; the rest never is (decision 0047)."""

    indices: tuple[int, ...]  # places in the clip, rising
    tolerance: float  # a keyframe may stand in for one within this share of their distance; below 1, so order stays
    later: tuple[int, ...] | None = None  # places that may be wanted later; None: all the others
    keyframes_stay: bool = False  # the model bears them: no step has one replaced by the exact frame (decision 0066)
    skip_loop_filter: bool = False  # of H.264, but in keyframes: the model bears it (decision 0082)


@dataclass(frozen=True, slots=True)
class FurtherLook:
    """Which frames of a clip that was begun are wanted now. `others` come along where they are decoded in passing."""

    indices: tuple[int, ...]
    others: tuple[int, ...] = ()
    skip_loop_filter: bool = False  # as `FirstLook` has it


Look: TypeAlias = FirstLook | FurtherLook | None
"""Which frames of a clip to decode; None: all of them."""


@dataclass(frozen=True, slots=True)
class EarlyFrames:
    """Frames of one video that were decoded while it still arrived: each by the number of its packet, and by a digest
    of all packets up to that one, so that it is taken only where the whole file tells the same (decision 0067)."""

    packets: tuple[int, ...]  # rising
    digests: tuple[str, ...]
    frames_NHWC: NDArray[np.uint8]
    view_NB: NDArray[np.float32]
    displayed: tuple[tuple[int, int], ...]  # (width, height) in pixels of each frame as a player shows it
    num_decoded: int  # frames that came out of the decoder for them
    busy_s: float  # that it took, without waiting for bytes


@dataclass(frozen=True, slots=True)
class DecodePrice:
    """What decoding costs at most, known before it begins; more only where the file lies about its keyframes.

    Frames that nobody refers to are left out: often a third of them.
    """

    frames: int
    pixels: int  # of all of them together

    @property
    def gpixels(self) -> float:
        """In 10^9, as answers tell it."""
        return round(self.pixels / 1e9, 6)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts of the source, as displayed (rotation and pixel aspect applied)."""

    duration_s: float
    width_px: int
    height_px: int
    codec: str
    frames_decoded: int  # frames that came out of the decoder
    frames_sampled: int  # distinct frames among the clip's
    frames_damaged: int = 0  # of those that were to be decoded: refused or called damaged by the decoder, not sampled
    frames_missing: int = 0  # that the file speaks of, and that are not there
    clock_breaks: int = 0  # times that the file's clock restarted or jumped; the clip's own runs on
    decode_pixels: int = 0  # what decoding was priced at, `DecodePrice`; 0 of a camera's window
    frames_early: int = 0  # of the clip, that had been decoded while the video arrived


@dataclass(frozen=True, slots=True)
class Clip:
    """Sampled frames of one video; a value.

    `frames_THWC`: uint8 RGB. `pts_s`: presentation time of each frame in seconds from the start of the video,
    non-decreasing (a frame is repeated where the video has fewer than asked).
    `view_TB`: float32 (x, y, w, h), the region of the displayed source frame that the clip frame shows, normalised to
    the source frame; reaches beyond [0, 1] where letterboxing padded. Of `num_crops` crops, the middle
    one's: `view_at` tells the others.

    A clip may be begun with some of its frames (`FirstLook`) and joined with others later: `absent` ones are black
    until then, or for good where nobody looks at them; `stand_ins` are keyframes near their places that an
    exact frame may yet replace. `pts_s` of an
    absent frame is that of the one to come.
    """

    frames_THWC: NDArray[np.uint8]
    pts_s: tuple[float, ...]
    view_TB: NDArray[np.float32]
    info: VideoInfo
    num_crops: int = 1
    absent: frozenset[int] = frozenset()
    stand_ins: frozenset[int] = frozenset()

    @property
    def inexact(self) -> frozenset[int]:
        """Places whose frame is not the one that `ClipRule` asks for, or not there yet."""
        return self.absent | self.stand_ins

    def joined(self, later: "Clip") -> "Clip":
        """This clip with what `later`, decoded of the same video by the same rule, has and it lacks.

        Pixels are written into the same array: whoever holds it sees them, and nobody may be reading it now.
        Exact frames stay as they are.
        """
        pts_s, view_TB = list(self.pts_s), self.view_TB.copy()
        come = self.inexact - later.inexact
        for index in come:
            self.frames_THWC[index] = later.frames_THWC[index]
            pts_s[index], view_TB[index] = later.pts_s[index], later.view_TB[index]
        absent = self.absent - come
        info = replace(
            self.info,
            frames_decoded=self.info.frames_decoded + later.info.frames_decoded,
            frames_sampled=len({pts for index, pts in enumerate(pts_s) if index not in absent}),
            frames_damaged=max(self.info.frames_damaged, later.info.frames_damaged),
            decode_pixels=self.info.decode_pixels + later.info.decode_pixels,
        )
        return replace(
            self, pts_s=tuple(pts_s), view_TB=view_TB, absent=absent, stand_ins=self.stand_ins - come, info=info
        )

    def view_at(self, column: int) -> tuple[NDArray[np.float32], int, int]:
        """(view_TB, first column, number of columns) of the crop that holds this column of the frames."""
        width = self.frames_THWC.shape[2]
        if self.num_crops == 1:
            return self.view_TB, 0, width
        number, crop_width = column * self.num_crops // width, width // self.num_crops
        corner_TB, size_TB = self.view_TB[:, :2], self.view_TB[:, 2:]
        corners = (np.zeros_like(corner_TB), corner_TB, 1 - size_TB)
        return np.concatenate((corners[number], size_TB), axis=1), number * crop_width, crop_width
