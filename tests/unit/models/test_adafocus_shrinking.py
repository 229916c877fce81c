"""Frames much larger than the glance: brought down in steps, so that no pixel is lost on the way."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.adafocus.encoders import GlanceEncoder, shrinking
from models.adafocus.shapes import tiny

sides = st.integers(1, 400)


@given(st.tuples(sides, sides), st.tuples(sides, sides))
def test_no_step_shrinks_a_side_by_more_than_two_and_the_last_is_what_was_wanted(whole, wanted) -> None:
    wanted = (min(whole[0], wanted[0]), min(whole[1], wanted[1]))
    sizes = [whole, *shrinking(whole, wanted)]
    assert sizes[-1] == wanted
    for before, after in pairwise(sizes):
        assert all(now <= then <= 2 * now for then, now in zip(before, after, strict=True))


class Shown(nn.Module):
    """In place of a backbone: keeps what it is given."""

    def forward(self, images_NCHW: Tensor, num_frames: int | None) -> Tensor:
        return images_NCHW


@pytest.mark.parametrize("times", [2, 2.5, 4, 7])
def test_every_pixel_of_a_large_frame_reaches_the_glance(times: float) -> None:
    config = tiny(2)
    size = tuple(int(times * side) for side in config.glance_size)
    encoder = GlanceEncoder(replace(config, frame_size=size)).eval()
    encoder.backbone = Shown()
    black_NHWC = torch.zeros(1, *size, 3, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    places = [[int(torch.randint(side, (), generator=generator)) for side in size] for _ in range(40)]
    for y, x in [*places, (0, 0), (size[0] - 1, size[1] - 1)]:
        dotted_NHWC = black_NHWC.clone()
        dotted_NHWC[0, y, x] = 255
        gained = (encoder(dotted_NHWC) - encoder(black_NHWC)).sum()
        whole_gain = (encoder(torch.full_like(black_NHWC, 255)) - encoder(black_NHWC)).sum()
        share = gained / whole_gain * size[0] * size[1]
        assert share > 0.15, f"of the pixel at {x}, {y} the glance sees {share:.2f} of its part"
