"""Videos for tests over HTTP, and the service they are posted to."""

from collections.abc import Iterator

import pytest

from tests.clips import cached_clip, solid
from tests.serving import Served, serving

RED, BLUE = solid(220, 20, 20), solid(20, 20, 220)


@pytest.fixture(scope="session")
def red_video() -> bytes:
    return cached_clip("red.mp4", pattern=RED, seconds=1.0).read_bytes()


@pytest.fixture(scope="session")
def blue_video() -> bytes:
    return cached_clip("blue.mp4", pattern=BLUE, seconds=1.0).read_bytes()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """One service for the tests of a file, with room for a good video beside a bad one."""
    with serving(decode_children=2, max_upload_bytes=4 * 2**20, max_frames=36_000) as service:
        yield service
