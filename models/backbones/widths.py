"""How wide MobileNetV2's maps are, layer by layer: plain numbers, for those who know no network. Knows no tensor."""

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repeats, first stride: Table 2 of the paper."""
STEM_CHANNELS = 32
LAST_CHANNELS = 1280


def map_widths(width_mult: float) -> tuple[int, ...]:
    """Channels of the map after each of `MobileNetV2.features`."""
    repeated = [channels for _, channels, repeats, _ in STAGES for _ in range(repeats)]
    widths = [round_channels(channels * width_mult) for channels in (STEM_CHANNELS, *repeated)]
    return (*widths, round_channels(LAST_CHANNELS * max(1.0, width_mult)))


def round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of 8, never more than a tenth below: the rule of the original TensorFlow code."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
