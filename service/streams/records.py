"""What streams keep in the ledger, as JSON in their own words. The one place where it is written and read.

Every text holds a `version`. Fields may be added to a version, and are ignored by those who do not know them; whoever
renames or removes one, or changes what it means, raises the version. What is of another version is told apart from what
is there, and left alone: during a roll-out it lies beside ours.
"""

import json
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from fovea.errors import InvalidOption
from fovea.words import Clock, Decode, Emit, WebhookEvent
from service.ledger.base import Event, Note, Record
from service.streams.address import CameraUrl
from service.streams.shares import Replica
from service.streams.status import Report, Result, Status
from service.streams.subscription import Subscription
from service.webhooks.wanted import Webhook

VERSION = 1

T = TypeVar("T")

_REPORT, _STATUS, _RESULT = TypeAdapter(Report), TypeAdapter(Status), TypeAdapter(Result)
_REPLICA = TypeAdapter(Replica)


class OtherVersion(ValueError):
    """The text is not of our version, or not whole."""


def subscription_record(subscription: Subscription) -> Record:
    """With the password: for the ledger, and nothing else."""
    said = asdict(subscription) | {"url": subscription.url.whole()}
    return Record(subscription.id, json.dumps({"version": VERSION, **said}))


def subscription_of(record: Record) -> Subscription:
    """Raises OtherVersion."""
    said = _object(record.text)
    known = {name: said[name] for name in Subscription.__dataclass_fields__ if name in said}
    try:
        made: dict[str, Any] = {
            "url": CameraUrl.parse(said["url"]),
            "on": Emit(said["on"]),
            "decode": Decode(said["decode"]),
        }
        made["clock"] = Clock(said.get("clock", Clock.AUTO))
        if (wanted := said.get("webhook")) is not None:
            made["webhook"] = Webhook(wanted["url"], tuple(map(WebhookEvent, wanted["events"])))
        return Subscription(**known | made)
    except (InvalidOption, ValueError, KeyError, TypeError):
        raise OtherVersion(f"the subscription of {record.id} is of another version") from None


def report_text(report: Report) -> str:
    """`epoch` stands outside, too: it has to be read whatever the version."""
    return _text(_REPORT, report, epoch=report.status.epoch)


def report_of(text: str) -> Report:
    """Raises OtherVersion."""
    return _value(_REPORT, text)


def epoch_of(report: str | None) -> int:
    """Of a report of whatever version; 0 where nothing was reported."""
    if report is None:
        return 0
    try:
        return int(json.loads(report)["epoch"])
    except (ValueError, KeyError, TypeError):
        return 0


def note_of(told: Status | Result) -> Note:
    if isinstance(told, Status):
        return Note("state", _text(_STATUS, told))
    return Note("result", _text(_RESULT, told))


def told_by(event: Event) -> Status | Result:
    """Raises OtherVersion, also where the event's name is none of ours."""
    match event.name:
        case "state":
            return _value(_STATUS, event.data)
        case "result":
            return _value(_RESULT, event.data)
    raise OtherVersion(f"event {event.id} is called {event.name[:40]!r}")


def replica_text(replica: Replica) -> str:
    return _text(_REPLICA, replica)


def replica_of(text: str) -> Replica:
    """Raises OtherVersion."""
    return _value(_REPLICA, text)


def _text(kind: TypeAdapter[T], value: T, **outside: object) -> str:
    said: dict[str, Any] = kind.dump_python(value, mode="json")
    return json.dumps({"version": VERSION, **outside, **said}, separators=(",", ":"))


def _value(kind: TypeAdapter[T], text: str) -> T:
    try:
        return kind.validate_python(_object(text))
    except ValidationError as error:
        raise OtherVersion(f"what is kept is of another version: {error.error_count()} fields differ") from None


def _object(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        raise OtherVersion("what is kept is no JSON") from None
    if not isinstance(said, dict) or said.get("version") != VERSION:
        raise OtherVersion(f"what is kept is not of version {VERSION}")
    return said
