"""Limits of a key: taken before, settled after, the same in memory and in Redis, also while Redis is away."""

from collections.abc import AsyncIterator, Iterator

import pytest

from fovea.errors import InvalidOption, QuotaExceeded
from service.keys.quota import Meter
from tests.keys import a_key
from tests.redis_server import RedisServer, redis_server

GFLOPS = 10**9


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def meter(request: pytest.FixtureRequest) -> AsyncIterator[Meter]:
    """Each test takes a key of its own name, so that they share a Redis."""
    made = Meter() if request.param == "memory" else Meter(request.getfixturevalue("server").url)
    yield made
    await made.close()


async def test_requests_beyond_the_limit_are_refused_until_the_window_is_over(meter: Meter) -> None:
    key = a_key("requests", limits={"requests_per_minute": 2, "requests_per_day": 100})
    charge = await meter.charge(key, "requests", 1)
    assert [(one.bound.name, one.left) for one in charge.standings] == [
        ("requests-per-minute", 1),
        ("requests-per-day", 99),
    ]
    assert [0 < one.reset_s <= one.bound.window_s for one in charge.standings] == [True, True]
    await meter.charge(key, "requests", 1)
    with pytest.raises(QuotaExceeded, match=r"may use 2 requests a minute; 0 requests are left") as caught:
        await meter.charge(key, "requests", 1)
    assert caught.value.extra == {"limit": "requests-per-minute"}
    assert caught.value.retry_after_s is not None
    assert 1 <= caught.value.retry_after_s <= 60


async def test_a_refused_request_takes_nothing_from_any_limit(meter: Meter) -> None:
    key = a_key("refused", limits={"gflops_per_minute": 10, "gflops_per_day": 15})
    await meter.charge(key, "flops", 8 * GFLOPS)
    for _ in range(3):
        with pytest.raises(QuotaExceeded, match="may use 10 GFLOPs a minute"):
            await meter.charge(key, "flops", 5 * GFLOPS)
    last = await meter.charge(key, "flops", 2 * GFLOPS)
    assert [one.left for one in last.standings] == [0, 5 * GFLOPS]


async def test_what_was_reserved_and_not_spent_is_given_back_exactly(meter: Meter) -> None:
    key = a_key("settled", limits={"gflops_per_minute": 10, "gflops_per_day": 1_000_000})
    charge = await meter.charge(key, "flops", 10 * GFLOPS)
    await meter.settle(charge, 1_234_567_891)
    assert [one.left for one in charge.standings] == [10 * GFLOPS - 1_234_567_891, 10**15 - 1_234_567_891]
    again = await meter.charge(key, "flops", 10 * GFLOPS - 1_234_567_891)
    assert again.standings[0].left == 0


async def test_what_is_spent_after_settling_is_charged_too(meter: Meter) -> None:
    key = a_key("later", limits={"gflops_per_minute": 10})
    charge = await meter.charge(key, "flops", 5 * GFLOPS)
    await meter.settle(charge, 1 * GFLOPS)
    await meter.settle(charge, 3 * GFLOPS)
    assert charge.standings[0].left == 7 * GFLOPS


async def test_what_no_window_has_room_for_is_refused_for_good_with_the_way_out(meter: Meter) -> None:
    key = a_key("never", limits={"gflops_per_minute": 2})
    with pytest.raises(InvalidOption, match=r"may need 3\.4 GFLOPs.*ask for max_gflops=2 or less"):
        await meter.charge(key, "flops", 3_400_000_000)
    assert (await meter.charge(key, "flops", 2 * GFLOPS)).standings[0].left == 0


async def test_a_key_without_limits_is_never_refused(meter: Meter) -> None:
    charge = await meter.charge(a_key("free"), "flops", 10**18)
    assert charge.standings == []
    await meter.settle(charge, 0)


async def test_keys_do_not_share_limits(meter: Meter) -> None:
    for name in ("one", "other"):
        await meter.charge(a_key(f"apart-{name}", limits={"requests_per_day": 1}), "requests", 1)


async def test_a_window_that_is_over_gets_nothing_back() -> None:
    now_s = 1000.0
    meter = Meter(wall=lambda: now_s)
    key = a_key("over", limits={"gflops_per_minute": 10})
    charge = await meter.charge(key, "flops", 6 * GFLOPS)
    charge.resets_s["gflops-per-minute"] = now_s - 1
    await meter.settle(charge, 0)
    with pytest.raises(QuotaExceeded):
        await meter.charge(key, "flops", 5 * GFLOPS)
    await meter.close()


@pytest.mark.redis
async def test_replicas_share_what_is_left(server: RedisServer) -> None:
    key = a_key("shared", limits={"requests_per_minute": 3})
    replicas = [Meter(server.url), Meter(server.url)]
    for number in range(3):
        await replicas[number % 2].charge(key, "requests", 1)
    for replica in replicas:
        with pytest.raises(QuotaExceeded):
            await replica.charge(key, "requests", 1)
        await replica.close()


@pytest.mark.redis
async def test_while_redis_is_away_each_replica_counts_alone_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    key = a_key("away", limits={"requests_per_minute": 2})
    with redis_server() as server:
        meter = Meter(server.url)
        await meter.charge(key, "requests", 1)
        server.kill()
        for _ in range(2):
            await meter.charge(key, "requests", 1)
        with pytest.raises(QuotaExceeded):
            await meter.charge(key, "requests", 1)
        assert caplog.text.count("this replica counts alone") == 1
        assert "redis://" not in caplog.text
        await meter.close()
