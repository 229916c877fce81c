"""From a frame's colours to RGB where libav's scaler cannot go: HDR, and a matrix it does not know.

Video of standard range in a matrix that the scaler knows is its work alone. HDR is brought to what players show on a
common screen: reference white (203 nits, ITU-R BT.2408) is white, what is darker stays as it is, what is brighter is
pressed into the last few levels; and as common video is coded for such a screen (ITU-R BT.1886, gamma 2.4), so is this.
Knows nothing of files, sizes and time.
Shape suffixes: H rows, W columns, C colour channels.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from fovea.errors import VideoUnreadable

Transfer = Literal["pq", "hlg"]

# AVColorSpace of a frame -> swscale's.
_COLORSPACES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_YCGCO = 8
_UNREAD = {11: "SMPTE ST 2085", 14: "ICtCp", 15: "IPT-C2", 16: "YCgCo-R (even)", 17: "YCgCo-R (odd)"}
_TRANSFERS: dict[int, Transfer] = {16: "pq", 18: "hlg"}  # AVColorTransferCharacteristic
_P3 = frozenset({11, 12})  # AVColorPrimaries

REFERENCE_WHITE_NITS = 203.0
_KNEE = 0.8  # of reference white: below, light stays as it is
_SHARPNESS = 2  # of the bend above

# Linear RGB to linear RGB, all with D65's white, from the primaries in ITU-R BT.2020, SMPTE EG 432 and ITU-R BT.709
_BT2020_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
_P3_TO_709 = np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593])


@dataclass(frozen=True, slots=True)
class Colour:
    """How one frame's colours are coded, and so in which format it is scaled."""

    pix_fmt: str
    matrix: Colorspace | None  # None: the scaler leaves the colours as they are
    keeps_range: bool = False
    transfer: Transfer | None = None
    primaries: int = 0

    def pixels(self, picture: VideoFrame) -> NDArray[np.uint8]:
        """picture_HWC in RGB of a frame that is scaled, in `pix_fmt`."""
        coded = picture.to_ndarray()
        if self.transfer is not None:
            return tone_mapped(cast(NDArray[np.uint16], coded), self.transfer, self.primaries)
        if self.keeps_range:
            return _from_ycgco(cast(NDArray[np.uint8], coded), is_full=picture.color_range == ColorRange.JPEG)
        return cast(NDArray[np.uint8], coded)  # "rgb24" is 8 bits


def colour_of(frame: VideoFrame) -> Colour:
    """Raises VideoUnreadable for a matrix that nothing here can undo."""
    if frame.colorspace in _UNREAD:
        raise VideoUnreadable(
            f"the video's colours are coded as {_UNREAD[frame.colorspace]}, which is not read here; convert it to "
            "BT.709 or BT.2020"
        )
    if frame.colorspace == _YCGCO and not frame.format.is_rgb:
        return Colour("yuv444p", None, keeps_range=True)
    matrix = None if frame.format.is_rgb else _COLORSPACES.get(frame.colorspace, _guess(frame))
    transfer = _TRANSFERS.get(frame.color_trc)
    if transfer is not None:
        return Colour("rgb48le", matrix, transfer=transfer, primaries=frame.color_primaries)
    return Colour("rgb24", matrix)


def scaled(
    scaler: VideoReformatter, frame: VideoFrame, width: int, height: int, colour: Colour, interpolation: int
) -> VideoFrame:
    """The frame at that size in `colour.pix_fmt`."""
    source_range = None
    if colour.keeps_range:
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        source_range = ColorRange.JPEG if full else ColorRange.MPEG
    return scaler.reformat(
        frame,
        width,
        height,
        colour.pix_fmt,
        src_colorspace=None if frame.format.is_rgb else colour.matrix,
        src_color_range=source_range,
        dst_color_range=source_range or ColorRange.JPEG,
        interpolation=interpolation,
        threads=1,
    )


def tone_mapped(picture_HWC: NDArray[np.uint16], transfer: Transfer, primaries: int) -> NDArray[np.uint8]:
    """RGB in full 16 bits, PQ or HLG, to RGB as common video has it."""
    light_HWC = _light(transfer)[picture_HWC]  # 1 is reference white
    if (
        transfer == "hlg"
    ):  # the display's own curve (ITU-R BT.2100, gamma 1.2 at 1000 nits), by the luminance of all three
        luminance_HW = light_HWC @ _BT2020_LUMA.astype(np.float32)
        light_HWC = light_HWC * (luminance_HW**0.2)[..., None] * np.float32(1000 / REFERENCE_WHITE_NITS)
    to_709 = _P3_TO_709 if primaries in _P3 else _BT2020_TO_709
    light_HWC = np.maximum(light_HWC @ to_709.T.astype(np.float32), 0)
    peak_HW1 = light_HWC.max(axis=-1, keepdims=True)
    light_HWC = light_HWC * (_pressed(peak_HW1) / np.maximum(peak_HW1, 1e-6))  # of all three alike: the hue stays
    steps_HWC = (np.clip(light_HWC, 0, 1) * 65535 + 0.5).astype(np.uint16)
    return cast(NDArray[np.uint8], _levels()[steps_HWC])


def _pressed(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light without bound to light below 1: unchanged up to the knee, and no brighter light ever darker."""
    above = np.maximum(light - _KNEE, 0) / (1 - _KNEE)
    bent = above / (1 + above**_SHARPNESS) ** (1 / _SHARPNESS)
    return np.where(light <= _KNEE, light, _KNEE + (1 - _KNEE) * bent).astype(np.float32)


@cache
def _light(transfer: Transfer) -> NDArray[np.float32]:
    """Linear light of each 16-bit code: PQ over reference white (SMPTE ST 2084), HLG as the scene's (BT.2100)."""
    code = np.arange(65536) / 65535
    if transfer == "pq":
        power = code ** (1 / 78.84375)
        nits = 10000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
        return (nits / REFERENCE_WHITE_NITS).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)


@cache
def _levels() -> NDArray[np.uint8]:
    """The level of common video for each 16-bit step of linear light: what a screen by ITU-R BT.1886 turns back."""
    levels: NDArray[np.uint8] = np.round(255 * (np.arange(65536) / 65535) ** (1 / 2.4)).astype(np.uint8)
    return levels


def _from_ycgco(planes_CHW: NDArray[np.uint8], *, is_full: bool) -> NDArray[np.uint8]:
    """ITU-T H.273, matrix coefficients 8."""
    luma_HW, green_HW, orange_HW = planes_CHW.astype(np.float32)
    low, luma_span, chroma_span = (0, 255, 255) if is_full else (16, 219, 224)
    luma_HW = (luma_HW - low) / luma_span
    green_HW, orange_HW = (green_HW - 128) / chroma_span, (orange_HW - 128) / chroma_span
    rest_HW = luma_HW - green_HW
    picture_HWC = np.stack([rest_HW + orange_HW, luma_HW + green_HW, rest_HW - orange_HW], axis=-1)
    return cast(NDArray[np.uint8], (np.clip(picture_HWC, 0, 1) * 255 + 0.5).astype(np.uint8))


def _guess(frame: VideoFrame) -> Colorspace:
    """For what a file leaves unsaid, as players do: high definition by width or height is BT.709."""
    return Colorspace.ITU709 if frame.width >= 1280 or frame.height > 576 else Colorspace.ITU601
