"""Answers that are given once."""

import time
from collections.abc import Awaitable, Callable

from service.jobs.once import Once
from service.ledger.holds import Holds
from service.ledger.memory import MemoryBook


class BookWithPauses(MemoryBook):
    """`then` happens after the next report has been read."""

    then: Callable[[], Awaitable[None]] | None = None

    async def report(self, record_id: str) -> str | None:
        told = await super().report(record_id)
        then, self.then = self.then, None
        if then is not None:
            await then()
        return told


async def test_an_answer_that_is_kept_while_the_second_request_looks_is_given_again() -> None:
    book = BookWithPauses(1, time.time, Holds(time.monotonic))
    once = Once(book, retention_s=60.0)
    first = once.turn("desk POST /v1/recognitions", "k", "same")
    turn = await first.__aenter__()

    async def answered() -> None:
        await turn.keep("the answer")
        await first.__aexit__(None, None, None)

    book.then = answered
    async with once.turn("desk POST /v1/recognitions", "k", "same") as second:
        assert second.kept == "the answer"
    async with once.turn("desk POST /v1/recognitions", "k", "same") as third:
        assert third.kept == "the answer"
