"""Answers that are given once."""

import time
from collections.abc import Awaitable, Callable

import pytest

from fovea.errors import Overloaded
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
    once = Once(book, retention_s=60.0, weight_of=lambda name: 1.0)
    first = once.turn("desk", "POST /v1/recognitions", "k", "same")
    turn = await first.__aenter__()

    async def answered() -> None:
        await turn.keep("the answer")
        await first.__aexit__(None, None, None)

    book.then = answered
    async with once.turn("desk", "POST /v1/recognitions", "k", "same") as second:
        assert second.kept == "the answer"
    async with once.turn("desk", "POST /v1/recognitions", "k", "same") as third:
        assert third.kept == "the answer"


async def test_an_owner_alone_leaves_room_for_another_and_what_it_has_is_answered_still() -> None:
    once = Once(
        MemoryBook(1, time.time, Holds(time.monotonic)), retention_s=60.0, weight_of=lambda name: 1.0, max_keys=4
    )

    async def ask(owner: str, key: str) -> str | None:
        async with once.turn(owner, "POST /v1/recognitions", key, "same") as turn:
            if turn.kept is None:
                await turn.keep(f"{owner} {key}")
            return turn.kept

    assert [await ask("greedy", key) for key in "abc"] == [None] * 3
    with pytest.raises(Overloaded, match="greedy has its share of the idempotency keys"):
        await ask("greedy", "d")
    assert await ask("modest", "a") is None, "another owner finds room"
    assert await ask("greedy", "b") == "greedy b", "what it has is its own"
