"""What the disk cache of converted models promises: it saves the conversion, and never changes an answer."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.runtime import Network, RuntimeConfig, make_runtime
from models.runtime.base import Function
from models.runtime.converting import convert
from models.runtime.openvino_runtime import OpenVinoRuntime, import_openvino
from models.runtime.parts import Part

pytestmark = pytest.mark.skipif(import_openvino() is None, reason="OpenVINO does not import here")


class Net(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.head = nn.Linear(8, 4)

    def forward(self, rows_NHWC: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(rows_NHWC.permute(0, 3, 1, 2).float() / 255)).mean((2, 3)))


def rows(num_rows: int = 3, side: int = 16) -> Tensor:
    return torch.randint(
        0, 256, (num_rows, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def compile_net(cache_dir: Path | None, net: nn.Module | None = None, key: str = "net", side: int = 16) -> Network:
    runtime = make_runtime(RuntimeConfig(name="openvino", precision="fp32", num_threads=1, cache_dir=cache_dir))
    return runtime.compile(net or Net(), rows(1, side), key=key)


def forbid_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(*_: object) -> None:
        raise AssertionError("converted anew")

    monkeypatch.setattr(OpenVinoRuntime, "_convert", convert)


def entry(cache_dir: Path) -> Path:
    (path,) = cache_dir.iterdir()
    return path


def test_a_cached_model_gives_the_same_bits_as_a_fresh_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = compile_net(tmp_path)(rows())
    forbid_conversion(monkeypatch)
    assert torch.equal(compile_net(tmp_path)(rows()), fresh)
    assert fresh.abs().max() > 0


def test_the_cached_weights_are_not_compressed(tmp_path: Path) -> None:
    compile_net(tmp_path)
    assert torch.equal(compile_net(tmp_path)(rows()), compile_net(None)(rows()))


def test_another_key_or_row_shape_is_another_entry(tmp_path: Path) -> None:
    one = compile_net(tmp_path, Net(seed=0), key="one")(rows())
    two = compile_net(tmp_path, Net(seed=1), key="two")(rows())
    assert not torch.equal(one, two)
    compile_net(tmp_path, Net(seed=0), key="one", side=24)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "damage",
    [lambda _: b"", lambda whole: whole[: len(whole) // 2], lambda whole: whole[:-1] + bytes([whole[-1] ^ 1])],
    ids=["emptied", "cut in half", "one bit flipped"],
)
def test_a_damaged_entry_is_rebuilt(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    fresh = compile_net(tmp_path)(rows())
    entry(tmp_path).write_bytes(damage(entry(tmp_path).read_bytes()))
    assert torch.equal(compile_net(tmp_path)(rows()), fresh)
    mended = entry(tmp_path).read_bytes()  # not the same bytes: OpenVINO numbers its layers through a process
    assert hashlib.sha256(mended[32:]).digest() == mended[:32]


def test_a_writer_that_dies_leaves_no_entry_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("models.runtime.file_cache.os.replace", die)
        with pytest.raises(KeyboardInterrupt):
            compile_net(tmp_path)
    assert list(tmp_path.iterdir()) == []
    compile_net(tmp_path)


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    occupied = tmp_path / "a-file"
    occupied.write_text("not a folder")
    network = compile_net(occupied / "cache")
    assert torch.equal(network(rows()), compile_net(None)(rows()))
    assert "nothing kept in" in caplog.text


# --- what OpenVINO compiled for this CPU ---


def load(cache_dir: Path | None, converted: bytes, *, precision: str = "fp32", num_threads: int = 1) -> Function:
    config = RuntimeConfig(name="openvino", precision=precision, num_threads=num_threads, cache_dir=cache_dir)  # type: ignore[arg-type]
    runtime = make_runtime(config)
    assert isinstance(runtime, OpenVinoRuntime)
    return runtime.load(converted, heavy=True, identity="net")


@pytest.fixture(scope="module")
def converted() -> bytes:
    return convert(import_openvino(), Part(Net(), (rows(1),), heavy=True))


def test_what_was_compiled_is_read_back_with_the_same_bits(tmp_path: Path, converted: bytes) -> None:
    fresh = load(None, converted)(rows().numpy())
    assert np.array_equal(load(tmp_path, converted)(rows().numpy()), fresh)
    entry(tmp_path)
    assert np.array_equal(load(tmp_path, b"not looked at")(rows().numpy()), fresh)


def test_another_precision_or_number_of_threads_is_compiled_apart(tmp_path: Path, converted: bytes) -> None:
    load(tmp_path, converted)
    load(tmp_path, converted, num_threads=2)
    try:
        load(tmp_path, converted, precision="bf16")
    except ValueError:
        pytest.skip("no bf16 kernels for this CPU")
    assert len(list(tmp_path.iterdir())) == 3


def test_what_openvino_does_not_read_any_more_is_compiled_anew(
    tmp_path: Path, converted: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = load(tmp_path, converted)(rows().numpy())
    garbage = b"of another version" * 100
    entry(tmp_path).write_bytes(hashlib.sha256(garbage).digest() + garbage)
    assert np.array_equal(load(tmp_path, converted)(rows().numpy()), fresh)
    assert "compiling anew" in caplog.text
    caplog.clear()
    load(tmp_path, converted)
    assert caplog.text == ""
