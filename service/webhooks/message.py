"""A message to a receiver, and what became of it: values, and how they are kept in the ledger. Knows no socket."""

import json
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from fovea.words import DeliveryState
from service.ledger.base import Record

VERSION = 1


@dataclass(frozen=True, slots=True)
class Message:
    """`id` stays the same however often it is sent: by it a receiver knows a message that comes twice."""

    id: str
    url: str  # may hold a password
    body: str  # JSON
    created_s: float  # wall-clock
    kept: bool = True  # until its job is forgotten; else it is gone once it is delivered or dead
    traceparent: str = ""  # of what it tells of (W3C Trace Context); empty: none


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message so far."""

    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    status: int | None = None  # of the receiver's last answer
    error: str | None = None  # of the last attempt
    next_s: float | None = None  # wall-clock: when it is tried again


_MESSAGE, _SENT = TypeAdapter(Message), TypeAdapter(Sent)


class OtherVersion(ValueError):
    """The text is not of our version, or not whole."""


def message_record(message: Message) -> Record:
    return Record(message.id, json.dumps({"version": VERSION, **_MESSAGE.dump_python(message, mode="json")}))


def message_of(record: Record) -> Message:
    """Raises OtherVersion."""
    try:
        return _MESSAGE.validate_python(_object(record.text))
    except ValidationError:
        raise OtherVersion(f"message {record.id} is of another version") from None


def sent_text(sent: Sent) -> str:
    return json.dumps({"version": VERSION, **_SENT.dump_python(sent, mode="json")})


def sent_of(report: str | None) -> Sent:
    """Raises OtherVersion."""
    if report is None:
        return Sent()
    try:
        return _SENT.validate_python(_object(report))
    except ValidationError:
        raise OtherVersion("what became of a message is told by another version") from None


def _object(text: str) -> dict[str, object]:
    said = json.loads(text)
    if not isinstance(said, dict) or said.pop("version", None) != VERSION:
        raise OtherVersion(f"what is kept is not of version {VERSION}")
    return said
