"""What a clip may look like besides how it is: crops, mirror images, colours, speeds, erased patches.

Knows no file and no batch. Without augmentation a clip is what inference would see of the same frames.
Shape suffixes: T frames, H rows, W columns, C colour channels.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray

from models.recognizer import Frames
from training.data.footage import Footage
from video.clip import ClipRule
from video.file.picture import Painter, place_in

# (row, column) of a crop in quarters of the room it has: corners, edges, centre, and half-way between
_POSITIONS = [(row, column) for row in range(5) for column in range(5) if row % 2 == column % 2]
MAX_STRENGTH, MAX_CAST = 0.5, 0.2  # of colours: see _coloured
_LUMA_C = np.array([77, 150, 29], np.uint16)  # ITU-R BT.601, times 256


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The default does nothing. Raises ValueError naming the value and the rule."""

    scales: tuple[float, ...] = ()
    """Crops of these sizes relative to the largest one, at 13 positions, neighbouring scales mixed for height and width
    (TSN's multi-scale corner crops: 1, .875, .75, .66). Empty: the clip rule's own view."""
    flip: tuple[str, ...] = ()
    """Patterns of labels whose videos may be mirrored: "*" all, "cctv_*" some; none that left and right tell apart."""
    random_frames: bool = False
    """A random frame of each segment (TSN) in place of the one nearest to its centre."""
    least_span: float = 1.0
    """0.6: clips span a random 60 to 100 % of the video, and so play up to 1.7 times slower."""
    brightness: float = 0.0
    """0.3: factors of 0.7 to 1.3; likewise `contrast` about the clip's mean grey, and `saturation`."""
    contrast: float = 0.0
    saturation: float = 0.0
    cast: float = 0.0
    """0.05: each colour channel shifted by up to 5 % of the range, as another white balance would."""
    erasing: float = 0.0
    """Share of clips in which one rectangle is noise throughout (random erasing, Zhong et al., AAAI 2020)."""
    mixup_alpha: float = 0.0
    """Of the Beta distribution by which clips are mixed in pairs (Zhang et al., ICLR 2018); 0: they are not."""

    def __post_init__(self) -> None:
        if not all(0 < scale <= 1 for scale in self.scales):
            raise ValueError(f"scales are {self.scales}, but each must lie in (0, 1]")
        if not 0 < self.least_span <= 1:
            raise ValueError(f"least_span is {self.least_span}, but must lie in (0, 1]; 1 is the whole video")
        most = {"brightness": MAX_STRENGTH, "contrast": MAX_STRENGTH, "saturation": MAX_STRENGTH, "cast": MAX_CAST}
        for name, greatest in {**most, "erasing": 1.0}.items():
            if not 0 <= getattr(self, name) <= greatest:
                raise ValueError(f"{name} is {getattr(self, name)}, but must lie in [0, {greatest}]; 0 switches it off")
        if not 0 <= self.mixup_alpha < float("inf"):
            raise ValueError(f"mixup_alpha is {self.mixup_alpha}, but must be 0 or a positive number")

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `from_dict(json.loads(json.dumps(augmentation.to_dict()))) == augmentation`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Augmentation":
        """Strict: ValueError for an unknown or ill-typed entry."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"unknown entries {unknown}; an augmentation has {known}")
        try:
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            return cls(**plain)
        except TypeError as error:
            raise ValueError(f"not an augmentation: {error}") from error


SMALL_SET = Augmentation(
    scales=(1.0, 0.875, 0.75, 0.66),
    random_frames=True,
    least_span=0.8,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    cast=0.05,
    erasing=0.25,
    mixup_alpha=0.2,
)
"""For hundreds of clips; add `flip` where it keeps the classes."""

MILD = Augmentation(scales=(1.0, 0.875), least_span=0.9, brightness=0.2, contrast=0.2, saturation=0.2)
"""For networks that stay nearly as they were: what changes over time is told from evenly spaced frames."""


def augmented_clip(
    footage: Footage,
    clip_rule: ClipRule,
    augmentation: Augmentation,
    rng: np.random.Generator,
    *,
    may_flip: bool = False,
) -> Frames:
    """frames_THWC as `clip_rule` says, drawn with `rng`; one draw holds for all frames of the clip. Writable.

    `may_flip`: whether this video's label is among `augmentation.flip`. Mix-up is the batch's affair.
    """
    indices = _frame_indices(footage, clip_rule.num_frames, augmentation, rng)
    if augmentation.scales:
        clip_THWC = _cropped(footage.frames_THWC, indices, clip_rule, augmentation.scales, rng)
    else:
        clip_THWC = _as_at_inference(footage.frames_THWC, indices, clip_rule)
    if may_flip and rng.random() < 0.5:
        clip_THWC = torch.from_numpy(clip_THWC).flip(2).numpy()  # nine times faster than numpy's
    if augmentation.brightness or augmentation.contrast or augmentation.saturation or augmentation.cast:
        clip_THWC = _coloured(clip_THWC, augmentation, rng)
    if rng.random() < augmentation.erasing:
        _erase(clip_THWC, rng)
    return clip_THWC


def _frame_indices(
    footage: Footage, num_frames: int, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[int, ...]:
    if not augmentation.random_frames and augmentation.least_span == 1:
        return footage.uniform_indices(num_frames)
    span_s = footage.duration_s * rng.uniform(augmentation.least_span, 1)
    start_s = rng.uniform(0, footage.duration_s - span_s)
    within_T = rng.random(num_frames) if augmentation.random_frames else np.full(num_frames, 0.5)
    times_s = start_s + (np.arange(num_frames) + within_T) * span_s / num_frames
    pts_s = np.array(footage.pts_s)
    nearest = np.searchsorted((pts_s[1:] + pts_s[:-1]) / 2, times_s)
    return tuple(nearest.tolist())


def _as_at_inference(frames_THWC: Frames, indices: tuple[int, ...], clip_rule: ClipRule) -> Frames:
    """By the painter of `video`: bit for bit what it makes of the same pixels."""
    painter = Painter(clip_rule, None)
    painted = {
        index: painter.paint(av.VideoFrame.from_ndarray(np.ascontiguousarray(frames_THWC[index]), format="rgb24"))[0]
        for index in set(indices)
    }
    return np.stack([painted[index] for index in indices])


def _cropped(
    frames_THWC: Frames,
    indices: tuple[int, ...],
    clip_rule: ClipRule,
    scales: tuple[float, ...],
    rng: np.random.Generator,
) -> Frames:
    """One window of the picture, brought to size: letterboxed where the rule is to letterbox, else stretched."""
    _, height, width, _ = frames_THWC.shape
    rule = clip_rule
    base = float(height), float(width)
    if clip_rule.resize == "center_crop":
        ratio = min(height / clip_rule.height_px, width / clip_rule.width_px)
        base = clip_rule.height_px * ratio, clip_rule.width_px * ratio
        rule = replace(rule, resize="stretch")
    by_row = int(rng.integers(len(scales)))
    by_column = int(rng.integers(max(0, by_row - 1), min(len(scales), by_row + 2)))
    rows, columns = (max(1, round(side * scales[by])) for side, by in zip(base, (by_row, by_column), strict=True))
    row, column = _POSITIONS[rng.integers(len(_POSITIONS))]
    top, left = round((height - rows) * row / 4), round((width - columns) * column / 4)
    window = np.stack([frames_THWC[index, top : top + rows, left : left + columns] for index in indices])
    place = place_in((columns, rows), rule)
    scaled = torch.nn.functional.interpolate(
        torch.from_numpy(window).permute(0, 3, 1, 2), (place.height_px, place.width_px), mode="bicubic", antialias=True
    )
    scaled_THWC: Frames = scaled.permute(0, 2, 3, 1).contiguous().numpy()
    if scaled_THWC.shape[1:3] == (clip_rule.height_px, clip_rule.width_px):
        return scaled_THWC
    clip_THWC = np.zeros((len(indices), clip_rule.height_px, clip_rule.width_px, 3), np.uint8)
    bottom, right = place.top_px + place.height_px, place.left_px + place.width_px
    clip_THWC[:, place.top_px : bottom, place.left_px : right] = scaled_THWC
    return clip_THWC


def _coloured(clip_THWC: Frames, augmentation: Augmentation, rng: np.random.Generator) -> Frames:
    """gain (contrast (saturation x + (1 - saturation) grey) + (1 - contrast) mean grey) + cast.

    In 16-bit fixed point, 5 bits behind the point: five times faster than floats. MAX_STRENGTH and MAX_CAST keep every
    term and sum below 2^15: the largest is 255 * 1.5^3 + 255 * 0.2 = 912 levels.
    """
    red, green, blue = (clip_THWC[..., channel] for channel in range(3))
    grey_THW = ((red * _LUMA_C[0] + green * _LUMA_C[1] + blue * _LUMA_C[2]) >> 8).astype(np.int16)
    strengths = augmentation.brightness, augmentation.contrast, augmentation.saturation
    gain, contrast, saturation = (1 + strength * rng.uniform(-1, 1) for strength in strengths)
    cast_C = 255 * augmentation.cast * rng.uniform(-1, 1, 3)
    offset_C = gain * (1 - contrast) * float(grey_THW.mean()) + cast_C + 0.5  # rounds
    mixed_THWC: NDArray[np.int16] = clip_THWC.astype(np.int16)
    mixed_THWC *= _fixed(gain * contrast * saturation)
    grey_THW *= _fixed(gain * contrast * (1 - saturation))
    for channel in range(3):
        mixed_THWC[..., channel] += grey_THW + _fixed(offset_C[channel])
    mixed_THWC >>= 5
    return np.clip(mixed_THWC, 0, 255, out=mixed_THWC).astype(np.uint8)


def _fixed(value: float) -> np.int16:
    return np.int16(round(32 * value))


def _erase(clip_THWC: Frames, rng: np.random.Generator) -> None:
    """2 to 20 % of the picture, 1:3 to 3:1, the same noise in all frames; in place."""
    _, height, width, _ = clip_THWC.shape
    area, aspect = rng.uniform(0.02, 0.2) * height * width, np.exp(rng.uniform(-np.log(3), np.log(3)))
    rows = min(height, max(1, round((area * aspect) ** 0.5)))
    columns = min(width, max(1, round((area / aspect) ** 0.5)))
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    noise_HWC = rng.integers(0, 256, (rows, columns, 3), np.uint8)
    clip_THWC[:, top : top + rows, left : left + columns] = noise_HWC
