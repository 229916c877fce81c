"""What streams keep: it comes back as it was, whatever version it is of, or is told apart."""

import json
from typing import Any

import pytest

from fovea.words import StreamState
from service.ledger.base import Event, Note, Record
from service.streams import records
from service.streams.status import Counts, Report, Result, Status

from .making import SECRET, TROUBLE, a_result, a_status, a_subscription


def event(note: Note) -> Event:
    return Event("2-0", "1-0", note.name, note.data)


def changed(text: str, **changes: Any) -> str:
    return json.dumps({name: value for name, value in {**json.loads(text), **changes}.items() if value is not ...})


@pytest.mark.parametrize("changes", [{}, {"ttl_s": 30.0, "max_flops": 200_000_000, "on": "change", "transport": "udp"}])
def test_a_subscription_comes_back_as_it_was_with_its_password(changes: dict[str, Any]) -> None:
    subscription = a_subscription(**changes)
    record = records.subscription_record(subscription)
    back = records.subscription_of(record)
    assert back == subscription
    assert back.url.pinned("10.0.0.1") == f"rtsp://viewer:{SECRET}@10.0.0.1:554/stream1?channel=1"
    assert SECRET not in repr(record)


@pytest.mark.parametrize(
    "told",
    [
        a_status(),
        a_status(StreamState.RECONNECTING, trouble=TROUBLE, source=None, mode="keyframes"),
        a_result(),
        a_result(partial=True, frames_reused=0),
    ],
)
def test_an_event_comes_back_as_it_was(told: Status | Result) -> None:
    assert records.told_by(event(records.note_of(told))) == told


def test_a_report_comes_back_as_it_was() -> None:
    report = Report(a_status(), Counts(results=5, spent_flops=10**15))
    assert records.report_of(records.report_text(report)) == report


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"version": 2}', '{"version": 1}', '{"version": 1, "epoch": 3}']
)
def test_what_is_of_another_version_or_no_record_at_all_is_told_apart(text: str) -> None:
    for read in (
        lambda: records.subscription_of(Record("a", text)),
        lambda: records.report_of(text),
        lambda: records.told_by(Event("1-0", "0-0", "state", text)),
        lambda: records.told_by(Event("1-0", "0-0", "result", text)),
    ):
        with pytest.raises(records.OtherVersion):
            read()


def test_an_event_of_a_name_that_is_not_known_is_told_apart() -> None:
    with pytest.raises(records.OtherVersion, match="'summary'"):
        records.told_by(Event("1-0", "0-0", "summary", '{"version": 1}'))


def test_a_field_that_this_version_does_not_know_is_no_hindrance() -> None:
    """It may be added without another version; one that is missing, or means something else, may not."""
    record = records.subscription_record(a_subscription())
    assert records.subscription_of(Record(record.id, changed(record.text, colour="red"))) == a_subscription()
    note = records.note_of(a_status())
    assert records.told_by(event(Note(note.name, changed(note.data, colour="red")))) == a_status()
    for damage in ({"since_s": ...}, {"state": "sleeping"}, {"version": 2}):
        with pytest.raises(records.OtherVersion):
            records.told_by(event(Note(note.name, changed(note.data, **damage))))
    for damage in ({"window_s": ...}, {"on": "never"}, {"url": "http://camera/"}, {"version": 2}):
        with pytest.raises(records.OtherVersion) as caught:
            records.subscription_of(Record(record.id, changed(record.text, **damage)))
        assert SECRET not in str(caught.value)


def test_the_epoch_of_a_report_is_read_whatever_its_version() -> None:
    text = records.report_text(Report(a_status(epoch=7), Counts()))
    assert records.epoch_of(changed(text, version=2, status=..., counts=...)) == 7
    assert records.epoch_of(None) == 0
    assert records.epoch_of("no report") == 0


def test_no_word_of_the_api_is_kept() -> None:
    """Renaming a field of an answer must not break a roll-out: what is kept is named by `service.streams`."""
    kept = json.loads(records.note_of(a_result()).data)
    assert not {"captured_at", "window", "frames", "decode"} & kept.keys()
    assert kept["version"] == records.VERSION
