"""What a request reserves comes back, however the request ends."""

import asyncio
from typing import Literal

from service.keys.key import Key, Limits
from service.keys.quota import Charge, Meter
from service.keys.spending import Accounts
from service.keys.usage import Usage
from service.metrics import Metrics

KEY = Key(name="desk", sha256="0" * 64, limits=Limits(gflops_per_day=1.0))


class SlowMeter(Meter):
    """Its answer comes once it may, as a Redis's far away."""

    def __init__(self) -> None:
        super().__init__()
        self.taken, self.answer = asyncio.Event(), asyncio.Event()

    async def charge(self, key: Key, unit: Literal["requests", "flops"], amount: int) -> Charge:
        charge = await super().charge(key, unit, amount)
        self.taken.set()
        await self.answer.wait()
        return charge


async def test_what_is_reserved_for_who_leaves_meanwhile_is_given_back() -> None:
    meter = SlowMeter()
    accounts = Accounts(meter, Usage(Metrics()))
    with accounts.spending(KEY) as spending:
        reserving = asyncio.create_task(spending.reserve(10**9))
        await meter.taken.wait()
        reserving.cancel()
        await asyncio.wait([reserving])
        assert reserving.cancelled()
    meter.answer.set()
    async with asyncio.timeout(10):
        while accounts._settling:  # noqa: ASYNC110 - what is settled beside has no other end
            await asyncio.sleep(0)
    with accounts.spending(KEY) as another:
        await another.reserve(10**9)  # all of the day's
        assert another.standings[0].left == 0
    await accounts.close()


async def test_what_is_reserved_again_takes_the_place_of_what_was_before() -> None:
    accounts = Accounts(Meter(), Usage(Metrics()))
    with accounts.spending(KEY) as spending:
        await spending.reserve(10**9)
        await spending.reserve(4 * 10**8)
        spending.spend(10**8)
        await spending.settle()
        assert spending.standings[0].left == 9 * 10**8
    await accounts.close()
