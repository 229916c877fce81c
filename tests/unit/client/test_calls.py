"""What a client may ask with is what the service takes, and what it sends is what was asked.

A subscription carries its own id, so that sending it again makes no second stream.
"""

import re
from collections.abc import Callable
from typing import get_args, get_type_hints

import pytest
from ulid import ULID

from fovea import JobOptions, RecognitionOptions, StreamOptions, TimelineJobOptions, TimelineOptions
from fovea._calls import (
    EVENTS,
    JSON,
    RECOGNITIONS,
    TIMELINES,
    Call,
    job,
    new_stream_id,
    recognition,
    recognitions,
    subscription,
    timeline,
)
from fovea.stream_answers import STREAM_ID_PATTERN, NewStream
from fovea.words import Decode, Emit
from service.api.jobs.accepting import JOB_PARAMETERS
from service.api.recognitions.options import OPTIONS
from service.api.timelines.options import OPTIONS as TIMELINE_OPTIONS

URL = "rtsp://camera/"


def test_the_options_of_a_recognition_are_those_that_the_service_reads() -> None:
    assert set(RecognitionOptions.__annotations__) == set(OPTIONS)


def test_the_options_of_a_timeline_are_those_that_the_service_reads() -> None:
    assert set(TimelineOptions.__annotations__) == set(TIMELINE_OPTIONS)


def test_a_job_has_the_options_of_what_it_does_and_those_of_every_job() -> None:
    every = {one["name"] for one in JOB_PARAMETERS if one["in"] == "query"}
    assert set(get_type_hints(JobOptions)) == set(OPTIONS) - {"picture"} | every  # a picture would have to be kept
    assert set(get_type_hints(TimelineJobOptions)) == set(TIMELINE_OPTIONS) | every


@pytest.mark.parametrize("url", ["https://example.org/clip.mp4", "s3://bucket/clip.mp4", "HTTP://example.org/a"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda url: recognition(url, {"top_k": 1}, accept=JSON),
        lambda url: timeline(url, {"top_k": 1}),
        lambda url: job(RECOGNITIONS, url, {"top_k": 1}, None),
        lambda url: job(TIMELINES, url, {"top_k": 1}, None),
    ],
    ids=["recognition", "timeline", "job", "timeline as a job"],
)
def test_a_url_is_for_the_service_to_fetch_whatever_is_asked_of_it(ask: Callable[[str], Call], url: str) -> None:
    call = ask(url)
    assert (call.json, call.videos, call.query) == ({"url": url}, (), {"top_k": "1"})


def test_a_job_says_that_nobody_waits_and_has_a_key_of_its_own_or_the_one_that_is_given() -> None:
    first, second = (job(TIMELINES, b"", {"window_s": 2.0}, None) for _ in range(2))
    assert first.headers["Prefer"] == "respond-async"
    assert (first.path, first.accept) == ("/v1/timelines", JSON)
    assert first.headers["Idempotency-Key"] != second.headers["Idempotency-Key"]
    assert job(RECOGNITIONS, b"", {}, "mine").headers["Idempotency-Key"] == "mine"
    assert timeline(b"", {}).accept == EVENTS


def test_no_store_is_a_header_of_whatever_is_asked_for() -> None:
    calls = [
        recognition(b"", {}, accept=JSON, no_store=True),
        recognitions([b"", b""], {}, no_store=True),
        job(RECOGNITIONS, b"", {}, None, no_store=True),
    ]
    assert [(call.headers["Cache-Control"], call.query) for call in calls] == [("no-store", {})] * 3
    assert "Cache-Control" not in recognition(b"", {}, accept=JSON).headers


def test_a_url_among_several_videos_is_refused() -> None:
    with pytest.raises(ValueError, match=r"https://example.org/a.mp4 is among 2 videos; .* ask for it alone"):
        recognitions([b"", "https://example.org/a.mp4"], {})


def test_labels_and_events_of_a_receiver_are_written_with_commas() -> None:
    options: JobOptions = {"labels": ["a", "b"], "webhook_url": "https://x/", "webhook_events": ["state", "done"]}
    assert job(RECOGNITIONS, b"", options, None).query == {
        "labels": "a,b",
        "webhook_url": "https://x/",
        "webhook_events": "state,done",
    }


def test_the_options_of_a_stream_are_those_that_the_service_reads() -> None:
    assert set(StreamOptions.__annotations__) == set(NewStream.model_fields) - {"url"}


@pytest.mark.parametrize(("option", "words"), [("on", Emit), ("decode", Decode)])
def test_a_word_may_be_given_as_text_or_as_the_enum(option: str, words: type[Emit | Decode]) -> None:
    enum, texts = get_args(get_type_hints(StreamOptions)[option])
    assert enum is words
    assert set(get_args(texts)) == {str(word) for word in words}


def test_an_option_that_is_none_is_not_sent() -> None:
    assert recognition(b"", {"top_k": 3, "model": None}, accept=JSON).query == {"top_k": "3"}  # type: ignore[typeddict-item]
    asked = subscription("rtsp://camera", {"window_s": 2.0, "task": None}).json  # type: ignore[typeddict-item]
    assert asked is not None
    assert set(asked) == {"id", "url", "window_s"}


def test_a_password_goes_into_the_body_and_never_into_the_address_asked() -> None:
    call = subscription("rtsp://user:secret@camera/", {})
    assert "secret" not in call.path
    assert not call.query


def test_an_id_is_a_ulid_of_now_and_no_two_are_equal() -> None:
    before_ms = ULID().milliseconds
    made = [new_stream_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(re.fullmatch(STREAM_ID_PATTERN, one) for one in made)
    assert 0 <= ULID.from_str(made[0].removeprefix("str_")).milliseconds - before_ms < 60_000


def test_a_subscription_is_the_same_however_often_it_is_sent() -> None:
    call = subscription(URL, {"window_s": 2.0})
    assert call.json is not None
    assert NewStream.model_validate(call.json).id == call.json["id"]
    other = subscription(URL, {"window_s": 2.0})
    assert other.json is not None
    assert other.json["id"] != call.json["id"]


def test_an_id_that_is_given_is_kept() -> None:
    chosen = new_stream_id()
    call = subscription(URL, {"id": chosen})
    assert call.json == {"id": chosen, "url": URL}
