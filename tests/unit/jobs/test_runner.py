"""A job that another version has told of: it waits for a replica of that version."""

import json
import time
from typing import Any

import pytest

from service.jobs import records
from service.jobs.job import Job
from service.jobs.queue import TryLater
from service.jobs.runner import Runner, RunnerParts
from service.ledger.base import Note
from service.ledger.holds import Holds
from service.ledger.memory import MemoryBook
from service.tracing.tracing import Untraced

JOB = Job("job_1", "recognition", (), "uploads/job_1", 0.1, 0.0)
FROM_LATER = json.dumps({"version": records.VERSION + 1, "state": "paused"})


def runner(book: MemoryBook) -> Runner:
    nothing: Any = None
    parts = RunnerParts(
        book=book,
        cancels=book,
        blobs=nothing,
        bodies={},
        problem=nothing,
        spooled=nothing,
        tell=nothing,
        metrics=nothing,
        tracing=Untraced(),
    )
    return Runner(parts, lease_s=5.0, max_attempts=3)


async def test_a_standing_of_another_version_is_tried_later_and_not_dropped() -> None:
    book = MemoryBook(10, time.time, Holds(time.monotonic))
    record = records.job_record(JOB)
    await book.add(record, 10)
    assert await book.take(record.id, "theirs", 5.0)
    await book.append(record.id, "theirs", Note("state", "{}"), report=FROM_LATER)
    await book.give_up(record.id, "theirs")
    with pytest.raises(TryLater, match="version"):
        await runner(book).work(record.id)
    assert await book.take(record.id, "theirs again", 5.0), "whoever can read it may hold it at once"


async def test_a_job_of_another_version_is_tried_later_and_not_dropped() -> None:
    book = MemoryBook(10, time.time, Holds(time.monotonic))
    record = records.job_record(JOB)
    await book.add(type(record)(record.id, record.text.replace('"version":1', '"version":2')), 10)
    with pytest.raises(TryLater, match="version"):
        await runner(book).work(record.id)
    assert await book.take(record.id, "theirs", 5.0)
