"""What jobs keep in the ledger, as JSON in their own words. The one place where it is written and read.

As with streams, every text holds a `version`: fields may be added, whoever renames or removes one raises it.
"""

import json
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from service.jobs.job import Job, Standing
from service.ledger.base import Note, Record

VERSION = 1

T = TypeVar("T")

_JOB, _STANDING = TypeAdapter(Job), TypeAdapter(Standing)


class OtherVersion(ValueError):
    """The text is not of our version, or not whole."""


def job_record(job: Job) -> Record:
    """A webhook's address may hold a password: for the ledger, and nothing else."""
    return Record(job.id, _text(_JOB, job))


def job_of(record: Record) -> Job:
    """Raises OtherVersion."""
    return _value(_JOB, record.text)


def standing_text(standing: Standing) -> str:
    return _text(_STANDING, standing)


def standing_of(report: str | None) -> Standing:
    """Of a job of which nobody has told anything: it is queued. Raises OtherVersion."""
    return Standing() if report is None else _value(_STANDING, report)


def state_note(standing: Standing) -> Note:
    """The state alone: what a result says is an event of its own."""
    return Note("state", json.dumps({"state": standing.state, "attempts": standing.attempts}))


def _text(kind: TypeAdapter[T], value: T) -> str:
    said: dict[str, Any] = kind.dump_python(value, mode="json")
    return json.dumps({"version": VERSION, **said}, separators=(",", ":"))


def _value(kind: TypeAdapter[T], text: str) -> T:
    try:
        said = json.loads(text)
        if not isinstance(said, dict) or said.pop("version", None) != VERSION:
            raise OtherVersion(f"what is kept is not of version {VERSION}")
        return kind.validate_python(said)
    except (ValidationError, json.JSONDecodeError):
        raise OtherVersion("what is kept is of another version") from None
