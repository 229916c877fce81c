"""Networks of milliseconds gain nothing from threads, and lose seconds where cores are shared: theirs spin."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from training.data.negatives import GENERATORS, KINDS


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def few_negatives() -> Iterator[None]:
    """Two clips of each kind of synthetic footage: one to fit on, one to measure on."""
    few = [
        next(one for one in GENERATORS if (one.kind, one.measures) == (kind, measures))
        for kind in KINDS
        for measures in (False, True)
    ]
    with pytest.MonkeyPatch.context() as patched:
        one_clip = tuple(replace(one, chains=one.chains[:1], drawn=min(one.drawn, 1)) for one in few)
        patched.setattr("training.data.negatives.GENERATORS", one_clip)
        yield
