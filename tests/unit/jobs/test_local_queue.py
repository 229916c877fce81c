"""The queue of one process."""

import asyncio

from service.jobs.local_queue import LocalQueue
from service.jobs.queue import TryLater


async def test_an_item_that_comes_again_at_once_leaves_the_loop_to_others() -> None:
    """As while a process is ending: all work is put off, and requests are still to be answered."""
    tries = 0

    async def put_off(item: str) -> None:
        nonlocal tries
        tries += 1
        if tries < 1000:
            raise TryLater("this process is ending", delay_s=0)

    queue = LocalQueue(concurrency=1)
    queue.start(put_off)
    await queue.put("a")
    for _ in range(3):
        await asyncio.sleep(0)
    assert 0 < tries < 10
    await queue.close()
