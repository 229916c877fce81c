"""Where most moves: where the policy begins to look if cubes show differences of frames.

Knows no network: pixels alone, no multiply-add. The policy learns how far to go from here.

Shape suffixes: B clips, T frames, H rows, W columns, h and w places, K cubes, 3 = (t, y, x).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.adafocus.config import AdaFocusConfig

_STRIDE = 4  # pixels between the places that are compared


def motion_positions(clips_BTHWC: Tensor, config: AdaFocusConfig) -> Tensor:
    """positions_BK3 in [0, 1]: cubes spread evenly over time, from the middle outwards, each where most moves then.

    Motion is by how much a pixel's brightness changes from frame to frame beyond the median of its frame, so that
    flicker and noise do not count.
    """
    num_frames, *sides = config.cube_size
    room = config.num_frames - num_frames
    brightness_BTHW = F.avg_pool2d(clips_BTHWC.float().mean(dim=-1), _STRIDE)
    change_BThw = brightness_BTHW.diff(dim=1).abs()
    still_BT11 = change_BThw.flatten(2).median(dim=2).values[..., None, None]
    change_BThw = (change_BThw - still_BT11).clamp(min=0)
    window = tuple(max(1, side // _STRIDE) for side in sides)
    places = []
    for t in _from_the_middle(config.max_cubes):
        first = round(t * room)
        moved_Bhw = F.avg_pool2d(change_BThw[:, first : first + num_frames - 1].sum(dim=1), window, stride=1)
        most_B = moved_Bhw.flatten(1).argmax(dim=1)
        rows, columns = moved_Bhw.shape[1:]
        y_B, x_B = most_B // columns / max(1, rows - 1), most_B % columns / max(1, columns - 1)
        places.append(torch.stack((torch.full_like(y_B, t), y_B, x_B), dim=1))
    return torch.stack(places, dim=1)


def _from_the_middle(count: int) -> list[float]:
    """`count` times in [0, 1], evenly spread; the nearest to the middle first, the earlier on a tie."""
    times = [0.5] if count == 1 else [number / (count - 1) for number in range(count)]
    return sorted(times, key=lambda t: (abs(t - 0.5), t))
