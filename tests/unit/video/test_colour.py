"""Colours that libav's scaler cannot bring to RGB: what a common screen shows of HDR, and YCgCo undone.

Shape suffixes: H rows, W columns, C colour channels.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from video.file.colour import REFERENCE_WHITE_NITS, Transfer, tone_mapped

BT2020 = 9


def pq_code(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084, the other way round."""
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg_code(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """ITU-R BT.2100 for grey, on a screen of 1000 nits."""
    scene = (nits / 1000) ** (1 / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def grey(code: float) -> NDArray[np.uint16]:
    return np.full((1, 1, 3), round(code * 65535), np.uint16)


@pytest.mark.parametrize(("transfer", "code"), [("pq", pq_code), ("hlg", hlg_code)])
@pytest.mark.parametrize("level", [0, 16, 64, 128, 200, 235])
def test_greys_up_to_reference_white_keep_their_level(transfer: Transfer, code: object, level: int) -> None:
    nits = REFERENCE_WHITE_NITS * (level / 255) ** 2.4
    shown = tone_mapped(grey(float(code(np.array(nits)))), transfer, BT2020)  # type: ignore[operator]
    np.testing.assert_allclose(shown, level, atol=2)


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_brighter_is_never_shown_darker_and_highlights_are_told_apart(transfer: Transfer) -> None:
    codes = np.linspace(0, 65535, 500).astype(np.uint16)
    shown = tone_mapped(np.repeat(codes[None, :, None], 3, axis=2), transfer, BT2020)[0, :, 0].astype(int)
    assert (np.diff(shown) >= 0).all()
    assert shown[0] == 0
    assert shown[-1] == 255


def test_highlights_beyond_reference_white_are_still_told_apart() -> None:
    nits = np.array([REFERENCE_WHITE_NITS, 1.5 * REFERENCE_WHITE_NITS, 4 * REFERENCE_WHITE_NITS])
    codes = (pq_code(nits) * 65535).round().astype(np.uint16)
    shown = tone_mapped(np.repeat(codes[None, :, None], 3, axis=2), "pq", BT2020)[0, :, 0]
    assert shown[0] < shown[1] < shown[2]
    assert shown[0] > 245


def test_hue_is_kept_where_a_colour_is_too_bright() -> None:
    nits = np.array([8.0, 4.0, 4.0]) * REFERENCE_WHITE_NITS
    codes = (pq_code(nits) * 65535).round().astype(np.uint16)
    red, green, blue = tone_mapped(codes[None, None], "pq", BT2020)[0, 0].astype(int)
    assert red > 250
    assert green < red - 40
    assert abs(green - blue) < 25
