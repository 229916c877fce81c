"""What every test shares: strict mode, and an environment that each test gets back as it was.

A test that needs a component of the machine (a program, an accelerator) says so first:

    from tests.conftest import require

    def test_promtool_accepts_our_metrics() -> None:
        require(shutil.which("promtool") is not None, "promtool (Debian package `prometheus`)")

On a developer's machine the test is skipped with that reason; where FOVEA_STRICT_TESTS=1 is set it fails, so that CI
cannot pass by skipping.

Tiers: `make fast` leaves out what is marked browser, camera, redis or slow. Marks follow from where a test stands
(`TIERS`) and from its parameters (a twin that is Redis); a test may carry more of its own.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

STRICT = "FOVEA_STRICT_TESTS"

# How long an example takes says nothing on a busy machine.
settings.register_profile("fovea", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fovea")


# Folders and files under tests/, and the mark of all that is in them.
TIERS = {
    "e2e/playground": "browser",
    "e2e/streams": "camera",
    "unit/ledger/test_redis.py": "redis",
    "unit/training": "slow",
    "unit/models/test_adafocus_differences.py": "slow",
    "unit/models/test_adafocus_heat_map.py": "slow",
    "unit/models/test_adafocus_parts.py": "slow",
    "unit/models/test_adafocus_recognizer.py": "slow",
    "unit/models/test_adafocus_runtimes.py": "slow",
    "unit/models/test_adafocus_sharing.py": "slow",
    "unit/models/test_adafocus_training.py": "slow",
    "unit/models/test_backbones.py": "slow",
    "unit/models/test_checkpoints.py": "slow",
    "unit/models/test_doors.py": "slow",
    "unit/models/test_families.py": "slow",
    "unit/models/test_preparing.py": "slow",
    "unit/models/test_timesformer_foreign.py": "slow",
    "unit/models/test_timesformer_image_vit.py": "slow",
    "unit/models/test_timesformer_network.py": "slow",
    "unit/models/test_timesformer_recognizer.py": "slow",
    "unit/models/test_tsm.py": "slow",
    "unit/render": "slow",
    "unit/test_architecture.py": "slow",
    "unit/test_doors.py": "slow",
    "unit/video/test_refresh.py": "slow",
    "unit/video/test_rooms.py": "slow",
    "unit/models/test_mobile_former_counts.py": "slow",
    "unit/models/test_mobile_former_recognizer.py": "slow",
    "unit/models/test_model_cache.py": "slow",
    "unit/models/test_runtime.py": "slow",
    "unit/models/test_threshold_solver.py": "slow",
}
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        where = item.path.relative_to(TESTS)
        for name, mark in TIERS.items():
            if where.is_relative_to(name):
                item.add_marker(mark)
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if "redis" in [one for one in parameters if isinstance(one, str)]:
            item.add_marker("redis")


def require(available: bool, what: str) -> None:
    """Go on where `what` is there; else skip the test, or fail it under FOVEA_STRICT_TESTS=1."""
    if available:
        return
    if os.environ.get(STRICT) == "1":
        pytest.fail(f"{what} is missing, and {STRICT}=1 lets no test skip: `make test` installs it", pytrace=False)
    pytest.skip(f"{what} is missing")


@pytest.fixture(name="require")
def require_fixture() -> Callable[[bool, str], None]:
    """`require`, for tests that prefer an argument to an import."""
    return require


@pytest.fixture(autouse=True)
def restored_environment() -> Iterator[None]:
    """A test may set any variable; the next one does not see it. FOVEA_* settings of the caller do not reach tests."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("FOVEA_") and name != STRICT]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)
