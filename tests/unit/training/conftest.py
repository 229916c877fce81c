"""Networks of milliseconds gain nothing from threads, and lose seconds where cores are shared: theirs spin."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def few_negatives() -> Iterator[None]:
    """Two variants of each kind of synthetic footage: one to fit on, one to measure on."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("training.data.negatives.num_variants", lambda kind: 2)
        yield
