"""Networks of milliseconds gain nothing from threads, and lose seconds where cores are shared: theirs spin."""

from collections.abc import Iterator

import pytest
import torch

from tests.few_negatives import ASKED_AT, FEW


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def few_negatives() -> Iterator[None]:
    """Two clips of each kind of synthetic footage: one to fit on, one to measure on."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ASKED_AT, FEW)
        yield
