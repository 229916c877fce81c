"""What is asked of a service, as values: both clients send these. Knows no socket and no answer."""

import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Literal, TypeAlias, TypedDict, TypeGuard
from urllib.parse import quote

from fovea.words import Clock, Decode, Emit, WebhookEvent

JSON = "application/json"
EVENTS = "text/event-stream"
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
API_KEY_VARIABLE = "FOVEA_API_KEY"
URL = re.compile(r"(https?|s3)://", re.I)
UNNAMED = "video"  # what a video without a file name is called in the form

VideoInput: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes themselves, an open binary file, or a URL (https://..., s3://...) that the service fetches."""


class _AnyRecognition(TypedDict, total=False):
    model: str
    task: str
    budget_gflops: float
    min_budget_gflops: float
    max_gflops: float
    deadline_ms: int
    top_k: int
    min_score: float
    abstain: bool
    labels: Sequence[str]


class RecognitionOptions(_AnyRecognition, total=False):
    """Options of a recognition, as the API names them; what is left out, the service decides."""

    picture: bool


class TimelineOptions(TypedDict, total=False):
    """Options of a timeline, as the API names them; what is left out, the service decides."""

    model: str
    task: str
    budget_gflops: float
    budget_gflops_per_s: float
    max_gflops: float
    deadline_ms: int
    top_k: int
    window_s: float
    stride_s: float
    min_score: float
    abstain: bool
    labels: Sequence[str]
    merge: bool
    decode: Decode | Literal["auto", "all", "keyframes"]


class JobOptions(_AnyRecognition, total=False):
    """Options of a recognition, and of the job that it becomes. A job has no picture: it would have to be kept."""

    webhook_url: str
    webhook_events: str | Sequence[str]


class TimelineJobOptions(TimelineOptions, total=False):
    """Options of a timeline, and of the job that it becomes."""

    webhook_url: str
    webhook_events: str | Sequence[str]


class StreamOptions(TypedDict, total=False):
    """Options of a subscription besides its address; see `fovea.stream_answers.NewStream`."""

    id: str
    name: str
    labels: dict[str, str]
    model: str
    task: str
    budget_gflops: float
    max_gflops: float
    window_s: float
    stride_s: float
    top_k: int
    min_score: float
    abstain: bool
    on: Emit | Literal["result", "change"]
    ttl_s: float
    decode: Decode | Literal["auto", "all", "keyframes"]
    transport: Literal["tcp", "udp"]
    clock: Clock | Literal["auto", "camera", "arrival"]
    connect_timeout_s: float
    open_timeout_s: float
    stall_timeout_s: float
    webhook_url: str
    webhook_events: list[WebhookEvent] | list[str]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, to be sent any number of times."""

    method: str
    path: str
    accept: str = JSON
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, object] | None = None
    videos: Sequence[VideoInput] = ()

    @contextmanager
    def sendable(self) -> Iterator[dict[str, Any]]:
        """Arguments of `httpx.Client.build_request` and of its async twin, the videos open while they hold.

        Videos go as a form, for which both clients read a file piece by piece, from its start each time.
        """
        with ExitStack() as opened:
            files = [("video", opened.enter_context(_readable(video))) for video in self.videos]
            yield {
                "method": self.method,
                "url": self.path,
                "params": dict(self.query),
                "headers": {"Accept": self.accept, **_trace(), **self.headers},
                "json": self.json,
                "files": files or None,
            }


def _trace() -> dict[str, str]:
    """`traceparent` of the caller's span (W3C Trace Context), where the caller uses OpenTelemetry."""
    carrier: dict[str, str] = {}
    if "opentelemetry.trace" in sys.modules:  # else nobody traces, and it may not be installed
        from opentelemetry import propagate  # noqa: PLC0415

        propagate.inject(carrier)
    return carrier


@contextmanager
def _readable(video: VideoInput) -> Iterator[tuple[str, BinaryIO]]:
    """Its name and a file to read it from. A path is opened and closed again; a file of the caller's stays open. A pipe
    is read to its end first, so that its length can be announced and it can be sent again."""
    match video:
        case bytes():
            yield UNNAMED, BytesIO(video)
        case str() | os.PathLike():
            path = Path(video)
            with path.open("rb") as file:
                yield path.name, file
        case file if file.seekable():
            yield UNNAMED, file
        case pipe:
            with TemporaryFile() as whole:
                shutil.copyfileobj(pipe, whole)
                whole.flush()
                yield UNNAMED, whole


RECOGNITIONS = "/v1/recognitions"
TIMELINES = "/v1/timelines"


def recognition(video: VideoInput, options: RecognitionOptions, *, accept: str, no_store: bool = False) -> Call:
    """`POST /v1/recognitions`. `no_store`: computed, though the same video was answered before, and not held."""
    return _post(RECOGNITIONS, video, options, accept, _caching(no_store))


def recognitions(videos: Sequence[VideoInput], options: RecognitionOptions, *, no_store: bool = False) -> Call:
    """The same with several videos. Raises ValueError where one of them is a URL."""
    for video in videos:
        if is_url(video):
            raise ValueError(f"{video} is among {len(videos)} videos; a URL is a request of its own: ask for it alone")
    return Call("POST", RECOGNITIONS, JSON, query_of(options), _caching(no_store), videos=tuple(videos))


def timeline(video: VideoInput, options: TimelineOptions) -> Call:
    """`POST /v1/timelines`, for its events: the connection is never silent for long, however long the video is."""
    return _post(TIMELINES, video, options, EVENTS)


def is_url(video: object) -> TypeGuard[str]:
    """Whether the service is to fetch it."""
    return isinstance(video, str) and URL.match(video) is not None


def query_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Options as a query has them. Numbers are written as Python writes them: the service reads decimals exactly."""
    return {name: _written(value) for name, value in options.items() if value is not None}


def _caching(no_store: bool) -> dict[str, str]:
    return {"Cache-Control": "no-store"} if no_store else {}


def _post(
    path: str, video: VideoInput, options: Mapping[str, Any], accept: str, headers: Mapping[str, str] | None = None
) -> Call:
    if is_url(video):
        return Call("POST", path, accept, query_of(options), headers or {}, json={"url": video})
    return Call("POST", path, accept, query_of(options), headers or {}, videos=(video,))


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


def authorization(api_key: str | None) -> dict[str, str]:
    """The header of a key, or of the one in the variable FOVEA_API_KEY; empty where there is none."""
    key = os.environ.get(API_KEY_VARIABLE) if api_key is None else api_key
    return {"Authorization": f"Bearer {key}"} if key else {}


JOBS = "/v1/jobs"


def job_path(job: str) -> str:
    return f"{JOBS}/{quote(job, safe='')}"


def job(
    path: str, video: VideoInput, options: JobOptions | TimelineJobOptions, key: str | None, *, no_store: bool = False
) -> Call:
    """A post to `path` that becomes a job. The key is made here: sent again, it is the same job."""
    headers = {"Prefer": "respond-async", "Idempotency-Key": key or secrets.token_urlsafe(24)}
    return _post(path, video, options, JSON, headers | _caching(no_store))


def job_page(state: str | None, before: str | None) -> Call:
    """`GET /v1/jobs`."""
    query = {name: value for name, value in (("state", state), ("before", before)) if value is not None}
    return Call("GET", JOBS, query=query)


STREAMS = "/v1/streams"


def stream_path(stream: str) -> str:
    return f"{STREAMS}/{quote(stream, safe='')}"


def subscription(url: str, options: StreamOptions) -> Call:
    """`POST /v1/streams`. The address goes into the body, since queries are logged and passwords with them.

    The id is made here: the call may be sent again, whatever became of it, and no second stream is made.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return Call("POST", STREAMS, json={"id": new_stream_id(), "url": url, **given})


def new_stream_id() -> str:
    """`str_` and a ULID: 48 bits of time in milliseconds, 80 of chance, in Crockford's base 32."""
    number = time.time_ns() // 10**6 << 80 | secrets.randbits(80)
    return "str_" + "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
