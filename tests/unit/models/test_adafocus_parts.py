"""AdaFocusV3's small parts, converted: in every form of policy and classifier they give what torch gives, in fp32."""

from dataclasses import replace

import pytest
import torch

from models.adafocus.config import AdaFocusConfig
from models.adafocus.network import AdaFocusV3, build_network
from models.adafocus.parts import parts
from models.runtime import RuntimeConfig, make_runtime
from models.runtime.openvino_runtime import import_openvino

from .lively import CLIP_CUBES, FORMS, FRAME_CUBES, lively_network

pytestmark = pytest.mark.skipif(import_openvino() is None, reason="OpenVINO does not import here")


def hot_network(config: AdaFocusConfig) -> AdaFocusV3:
    """With a heat map that is not flat."""
    network = build_network(config, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.nn.init.normal_(network.policy.heat.weight, std=2.0)  # type: ignore[union-attr,arg-type]
    return network


def check(network: AdaFocusV3) -> None:
    runtime = make_runtime(RuntimeConfig(name="openvino", precision="fp32", num_threads=1))
    generator = torch.Generator().manual_seed(1)
    light = {name: part for name, part in parts(network).items() if not part.heavy}
    assert light.keys() == {"first", "policy", "remember", "further"}
    for name, part in light.items():
        function = runtime.execute(part, key=name)
        first_shared = len(part.examples) - part.num_shared
        for num_rows in (1, 3):
            arguments = [
                torch.rand(num_rows, *example.shape[1:], generator=generator)
                if number < first_shared
                else torch.full_like(example, 2)  # a step, whole
                for number, example in enumerate(part.examples)
            ]
            with torch.inference_mode():
                wanted = part.module.eval()(*arguments)
            found = function(*(argument.numpy() for argument in arguments))
            pairs = [(wanted, found)] if isinstance(wanted, torch.Tensor) else list(zip(wanted, found, strict=True))
            for theirs, ours in pairs:
                assert tuple(ours.shape) == tuple(theirs.shape), name
                torch.testing.assert_close(torch.from_numpy(ours), theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", FORMS)
def test_every_form_of_classifier_is_converted(config: AdaFocusConfig) -> None:
    check(lively_network(config))


@pytest.mark.parametrize("config", [FRAME_CUBES, CLIP_CUBES], ids=["frame cubes", "clip cubes"])
def test_a_heat_map_is_converted(config: AdaFocusConfig) -> None:
    check(hot_network(replace(config, policy="heat_map")))
