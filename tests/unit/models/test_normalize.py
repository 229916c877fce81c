"""Pixels as the networks want them."""

import torch

from models.normalize import Normalize


def test_pixels_are_normalised_and_bgr_networks_get_bgr() -> None:
    frames_NHWC = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    expected_NHWC = (frames_NHWC.double() / 255 - torch.tensor(mean).double()) / torch.tensor(std).double()
    rgb_NCHW = Normalize(mean, std, "rgb")(frames_NHWC)
    torch.testing.assert_close(rgb_NCHW.double(), expected_NHWC.permute(0, 3, 1, 2), atol=1e-5, rtol=0)
    bgr_NCHW = Normalize(mean, std, "bgr")(frames_NHWC.flip(-1))
    assert torch.equal(bgr_NCHW, rgb_NCHW)


def test_differences_are_those_of_normalised_neighbours_and_exact_before_they_are_scaled() -> None:
    frames_NHWC = torch.randint(0, 256, (6, 4, 5, 3), dtype=torch.uint8)
    normalize = Normalize((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), "bgr")
    apart_MCHW = normalize.differences(frames_NHWC, num_frames=3)
    clips_NTCHW = normalize(frames_NHWC).view(2, 3, 3, 4, 5)
    torch.testing.assert_close(apart_MCHW, clips_NTCHW.diff(dim=1).flatten(0, 1))
    exact_MCHW = frames_NHWC.flip(-1).permute(0, 3, 1, 2).int().view(2, 3, 3, 4, 5).diff(dim=1).flatten(0, 1)
    assert torch.equal((apart_MCHW / normalize.scale_C[:, None, None]).round().int(), exact_MCHW)
    assert torch.equal(exact_MCHW.bfloat16().int(), exact_MCHW), "what bf16 holds without rounding"
