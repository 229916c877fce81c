"""Numbers by day, in each of the ledger's twins."""

from datetime import date, timedelta

from service.ledger.base import Ledger
from service.ledger.counters import KEPT_DAYS

TODAY = date(2026, 11, 27)


async def test_amounts_add_up_by_day_and_name(ledger: Ledger) -> None:
    counters = ledger.counters()
    await counters.add(TODAY, {"desk/tiny/requests": 1, "desk/tiny/flops": 10**15 + 1})
    await counters.add(TODAY, {"desk/tiny/requests": 2, "desk/tiny/flops": 10**15 + 2})
    await counters.add(TODAY - timedelta(days=1), {"door/a model of its own/flops": 5})
    assert await counters.of([TODAY - timedelta(days=1), TODAY, TODAY + timedelta(days=1)]) == [
        {"door/a model of its own/flops": 5},
        {"desk/tiny/requests": 3, "desk/tiny/flops": 2 * 10**15 + 3},
        {},
    ]


async def test_two_who_count_at_the_same_ledger_lose_nothing(ledger: Ledger) -> None:
    for _ in range(5):
        await ledger.counters().add(TODAY, {"a": 1})
        await ledger.counters().add(TODAY, {"a": 1})
    assert await ledger.counters().of([TODAY]) == [{"a": 10}]


async def test_days_that_are_long_past_are_forgotten(ledger: Ledger) -> None:
    if type(ledger).__name__ == "RedisLedger":
        return  # Redis forgets by its own clock: `expire`
    counters = ledger.counters()
    await counters.add(TODAY - timedelta(days=KEPT_DAYS), {"old": 1})
    await counters.add(TODAY, {"new": 1})
    assert await counters.of([TODAY - timedelta(days=KEPT_DAYS), TODAY]) == [{}, {"new": 1}]
