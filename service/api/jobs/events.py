"""A job's events as server-sent events: replay from the start, or from an event on, then what is new, to its end."""

import asyncio
from collections.abc import AsyncIterator, Callable

from sse_starlette import ServerSentEvent

from fovea.errors import InvalidOption, Unavailable
from service.jobs.desk import Desk
from service.jobs.job import RESULT
from service.jobs.runner import LAST
from service.ledger.base import BEFORE_ALL, id_key

SLICE_S = 1.0  # how soon a follower notices that the service shuts down
AGAIN_S = 1.0  # before a ledger that is away is asked again


def start_after(last_id: str | None) -> str:
    """Raises InvalidOption."""
    if last_id is None:
        return BEFORE_ALL
    try:
        id_key(last_id)
    except ValueError as error:
        raise InvalidOption(f"Last-Event-ID: {error}; leave it out for all events", option="last_event_id") from None
    return last_id


async def follow(desk: Desk, job_id: str, after: str, *, ends: Callable[[], bool]) -> AsyncIterator[ServerSentEvent]:
    """`state`, `step` and the like, and last `result`, `problem` or `cancelled`."""
    while not ends():
        try:
            news = await desk.book.events(job_id, after, wait_s=SLICE_S)
            is_over = not news and await _is_over(desk, job_id)
            for event in news:
                data = event.data
                if event.name == RESULT and not data:  # it is too large for the ledger
                    data = await desk.result((await desk.job(job_id)).standing) or ""
                yield ServerSentEvent(data or "{}", event=event.name, id=event.id)
                after = event.id
                if event.name in LAST.values():
                    return
        except Unavailable:  # the job goes on elsewhere, and so does this, once the ledger is back
            await asyncio.sleep(AGAIN_S)
            continue
        if is_over:
            return


async def _is_over(desk: Desk, job_id: str) -> bool:
    """Nothing more will come: it has ended, and its last event is before what was asked for; or it is forgotten."""
    if await desk.book.record(job_id) is None:
        return True
    return (await desk.job(job_id)).standing.state.is_final
