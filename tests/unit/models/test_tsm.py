"""TSM as a family: its published prices, one step, the same answer on every runtime, and training goes on from it."""

import copy
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from models.families import find_family
from models.recognizer import Frames
from models.runtime import RuntimeConfig, make_runtime
from models.tsm.config import TsmConfig, mobilenet_v2, resnet50, tiny
from models.tsm.network import Tsm, build_network, step_flops
from models.tsm.parts import make_recognizer
from tests.foreign_networks import patches
from video.clip import ClipRule

RULE = ClipRule(tiny().num_frames, *tiny().frame_size, "center_crop")


@cache
def network() -> Tsm:
    """Norms as if trained, so that what is seen shows in what is said."""
    made = build_network(tiny(), 0)
    for norm in (module for module in made.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = None
    made.train()(torch.from_numpy(np.stack(clips(4))))
    return made.eval()


def clips(count: int) -> list[Frames]:
    return [patches(4, seed)[:, :32, :48] for seed in range(count)]


@pytest.mark.parametrize(("config", "published_gflops"), [(mobilenet_v2(400), 2.4), (resnet50(400), 32.7)])
def test_eight_frames_cost_what_its_paper_says(config: TsmConfig, published_gflops: float) -> None:
    (flops,) = step_flops(config)
    assert flops / 1e9 == pytest.approx(published_gflops, rel=0.005)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_each_runtime_answers_as_the_network_alone_in_company_or_not(name: str) -> None:
    made, some = network(), clips(3)
    runtime = make_runtime(RuntimeConfig(name=name, precision="fp32", num_threads=1))  # type: ignore[arg-type]
    recognizer = make_recognizer(made, RULE, [1.0], runtime)
    with torch.no_grad():
        wanted = made(torch.from_numpy(np.stack(some))).softmax(dim=1).numpy()
    assert np.ptp(wanted, axis=0).max() > 0.01  # clips differ
    found = np.stack([state.probabilities_C for state in recognizer.glance(some)])
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    np.testing.assert_allclose(recognizer.glance(some[1:2])[0].probabilities_C, found[1], atol=1e-5)
    assert recognizer.step_flops == step_flops(tiny())


def test_the_order_of_frames_counts_with_the_shift_and_not_without() -> None:
    made = copy.deepcopy(network())
    clip_BTHWC = torch.from_numpy(np.stack(clips(1)))
    with torch.no_grad():
        assert not torch.allclose(made(clip_BTHWC), made(clip_BTHWC.flip(1)), atol=1e-4)
        made.encoder.shifts = False
        torch.testing.assert_close(made(clip_BTHWC), made(clip_BTHWC.flip(1)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_frames": 0}, "num_frames is 0"),
        ({"frame_size": [32]}, "frame_size is"),
        ({"backbone": {"name": "vgg"}}, "backbone is 'vgg'"),
        ({"temporal_shift": 1}, "temporal_shift is 1"),
        ({"layers": 3}, "unknown entries"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_by_name(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_family("tsm").read_config(tiny().to_dict() | values)
