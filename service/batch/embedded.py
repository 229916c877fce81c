"""The engine of a run in this process: all cores, videos side by side. Knows no journal and no file of results."""

import asyncio
from collections.abc import Callable, Iterator

from service.batch.inputs import Input
from service.batch.recogniser import open_recogniser
from service.batch.run import Keep
from service.batch.terms import Terms


def answer_here(terms: Terms, pending: Iterator[tuple[int, Input]], keep: Keep, stop: Callable[[], bool]) -> None:
    """A `service.batch.run.Engine`."""
    try:
        asyncio.run(_answer(terms, pending, keep, stop))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None  # those beside it were cancelled, or failed for the same reason


async def _answer(terms: Terms, pending: Iterator[tuple[int, Input]], keep: Keep, stop: Callable[[], bool]) -> None:
    async with open_recogniser(terms) as recogniser:

        async def work() -> None:
            for number, one in pending:
                if stop():
                    return
                row, answered = await recogniser.row(one)
                keep(number, one, row, answered)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(recogniser.side_by_side):
                tasks.create_task(work())
