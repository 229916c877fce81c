"""What every runtime promises, held on small seeded networks."""

import sys
import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.runtime import Network, Runtime, RuntimeConfig, make_runtime
from models.runtime.openvino_runtime import import_openvino
from models.runtime.parts import Part


class SmallNet(nn.Module):
    """uint8 (N, 32, 32, 3) to fp32 (N, 10), with the layers that the real networks are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU6(),
            nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU6(),
            nn.Conv2d(16, 32, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        )
        self.head = nn.Linear(32, 10)

    def forward(self, rows_NHWC: Tensor) -> Tensor:
        pixels_NCHW = rows_NHWC.permute(0, 3, 1, 2).float() / 127.5 - 1
        return self.head(self.body(pixels_NCHW).mean((2, 3)))


def small_net(seed: int = 0) -> SmallNet:
    torch.manual_seed(seed)
    net = SmallNet()
    net(rows(64))  # moves the running statistics off their defaults, so that folding them is put to the test
    return net


def rows(num_rows: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num_rows, 32, 32, 3), dtype=torch.uint8, generator=generator)


def reference(net: nn.Module, batch: Tensor) -> Tensor:
    was_training = net.training
    with torch.inference_mode():
        result: Tensor = net.eval()(batch)
    net.train(was_training)
    return result


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).abs().max() / expected.abs().max()).item()


RUNTIMES = [("torch", "fp32", 1e-5), ("torch", "bf16", 2e-2), ("openvino", "fp32", 1e-4), ("openvino", "bf16", 2e-2)]


@pytest.fixture(params=RUNTIMES, ids=lambda param: "-".join(param[:2]))
def runtime_and_tolerance(request: pytest.FixtureRequest) -> tuple[Runtime, float]:
    name, precision, tolerance = request.param
    try:
        return make_runtime(RuntimeConfig(name=name, precision=precision, num_threads=1)), tolerance
    except ValueError as error:  # a CPU without bf16 kernels, an OpenVINO that does not import
        pytest.skip(str(error))


@pytest.fixture
def runtime(runtime_and_tolerance: tuple[Runtime, float]) -> Runtime:
    return runtime_and_tolerance[0]


def test_it_agrees_with_fp32_torch_within_its_stated_tolerance_at_any_batch_size(
    runtime_and_tolerance: tuple[Runtime, float],
) -> None:
    runtime, tolerance = runtime_and_tolerance
    net = small_net()
    network = runtime.compile(net, rows(1), key="small")
    for num_rows in (1, 3, 8, 2):
        assert relative_error(network(rows(num_rows)), reference(net, rows(num_rows))) < tolerance


def test_the_result_is_fp32_on_the_runtimes_device(runtime: Runtime) -> None:
    result = runtime.compile(small_net(), rows(1), key="small")(rows(3))
    assert result.dtype == torch.float32
    assert result.device.type == runtime.device.type
    assert result.shape == (3, 10)


def test_compiling_leaves_the_callers_module_as_it_was(runtime: Runtime) -> None:
    net = small_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    runtime.compile(net, rows(1), key="small")(rows(2))
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_compiled_network_does_not_see_later_changes_of_the_module(runtime: Runtime) -> None:
    net = small_net()
    network = runtime.compile(net, rows(1), key="small")
    first = network(rows(2))
    with torch.no_grad():
        net.head.weight.zero_()
    assert torch.equal(network(rows(2)), first)


def test_an_earlier_result_is_not_overwritten_by_the_next_call(runtime: Runtime) -> None:
    network = runtime.compile(small_net(), rows(1), key="small")
    first = network(rows(2, seed=1))
    kept = first.clone()
    network(rows(2, seed=2))
    assert torch.equal(first, kept)


def test_a_network_compiled_on_one_thread_runs_on_another(runtime: Runtime) -> None:
    built: list[Network] = []
    builder = threading.Thread(target=lambda: built.append(runtime.compile(small_net(), rows(1), key="small")))
    builder.start()
    builder.join()
    assert torch.equal(built[0](rows(2)), runtime.compile(small_net(), rows(1), key="small")(rows(2)))


def test_the_number_of_threads_holds_on_the_thread_that_runs() -> None:
    network = make_runtime(RuntimeConfig(name="torch", num_threads=1)).compile(small_net(), rows(1), key="small")
    seen: list[int] = []

    def device_thread() -> None:
        torch.set_num_threads(2)
        network(rows(1))
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=device_thread)
    thread.start()
    thread.join()
    assert seen == [1]


def test_zero_threads_are_refused() -> None:
    with pytest.raises(ValueError, match="num_threads is 0; it must be at least 1"):
        make_runtime(RuntimeConfig(num_threads=0))


def test_auto_takes_openvino_on_a_cpu_and_torch_where_it_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("auto takes torch where CUDA is")
    assert make_runtime(RuntimeConfig()).name == ("openvino" if import_openvino() else "torch")
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert make_runtime(RuntimeConfig()).name == "torch"


def test_asking_for_openvino_where_it_does_not_import_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ValueError, match=r"'openvino' does not import here: pip install openvino, or ask for 'torch'"):
        make_runtime(RuntimeConfig(name="openvino"))


def test_auto_precision_is_bf16_only_where_the_cpu_has_such_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for features, precision in (({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({}, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda features=features: features)
        assert make_runtime(RuntimeConfig(name="torch")).precision == precision


def test_torch_keeps_to_one_thread_while_openvino_runs() -> None:
    if import_openvino() is None:
        pytest.skip("OpenVINO does not import here")
    network = make_runtime(RuntimeConfig(name="openvino", num_threads=2)).compile(small_net(), rows(1), key="small")
    torch.set_num_threads(2)
    network(rows(1))
    assert torch.get_num_threads() == 1


# --- parts ---


class Between(nn.Module):
    """Two inputs with rows, one that all rows share; two outputs."""

    def forward(self, left_ND: Tensor, right_ND: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
        return left_ND + number * right_ND, right_ND.mean(dim=1)


def test_a_light_part_takes_and_gives_several_arrays_in_fp32(runtime: Runtime) -> None:
    part = Part(Between(), (torch.zeros(1, 4), torch.zeros(1, 4), torch.ones(1, dtype=torch.int64)), num_shared=1)
    function, arrays = runtime.execute(part, key="between"), runtime.arrays
    generator = torch.Generator().manual_seed(0)
    for num_rows in (1, 3, 2):
        left, right = torch.rand(2, num_rows, 4, generator=generator)
        given = (left, right) if runtime.name == "torch" else (left.numpy(), right.numpy())
        first, second = (arrays.to_numpy(found) for found in function(*given, arrays.integer(3)))
        np.testing.assert_allclose(first, left + 3 * right, atol=1e-6)
        np.testing.assert_allclose(second, right.mean(dim=1), atol=1e-6)


def test_a_heavy_part_takes_numpys_rows_whatever_the_runtime(runtime_and_tolerance: tuple[Runtime, float]) -> None:
    runtime, tolerance = runtime_and_tolerance
    net = small_net()
    found = runtime.execute(Part(net, (rows(1),), heavy=True), key="small")(rows(3).numpy())
    assert relative_error(torch.as_tensor(runtime.arrays.to_numpy(found)), reference(net, rows(3))) < tolerance


def test_rows_may_lie_in_memory_as_they_like(runtime: Runtime) -> None:
    """They are copied where they do not lie as OpenVINO wants them, and the copy is kept until it has been read."""
    function = runtime.execute(Part(small_net().eval(), (rows(1),), heavy=True), key="small")
    plain = rows(64).numpy()
    odd = np.ascontiguousarray(plain.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    assert not odd.flags.c_contiguous
    for _ in range(3):
        np.testing.assert_array_equal(np.asarray(function(odd)), np.asarray(function(plain)))
