"""The JSON of `/v1/streams` and the data of its events, as pydantic models with examples. Knows no camera.

GFLOPs are 10^9 multiply-adds; times are RFC 3339 in UTC; `_s` are seconds. Stream seconds (`start_s`) count from the
first picture of an epoch.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fovea.answers import RecognitionAnswer, Value
from fovea.words import MAX_GFLOPS, MAX_NAME, Clock, ClockUsed, Decode, Emit, ErrorClass, StreamState, WebhookEvent

Transport = Literal["tcp", "udp"]

MAX_URL = 2048
MAX_CAMERA_NAME = 64
MAX_LABELS = 16
PRINTABLE = "^[^\\x00-\\x1f\\x7f]*$"

LabelKey = Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
LabelValue = Annotated[str, Field(max_length=256, pattern=PRINTABLE)]

STREAM_ID_PATTERN = "^str_[0-7][0-9A-HJKMNP-TV-Z]{25}$"
STREAM_ID = "str_01JD3M8Q4Z6X7V9T2S5R1P0N8K"
EVENT_ID = "1764036000123-0"
WHEN = "2026-11-25T02:00:00.123Z"


class NewStream(BaseModel):
    """Body of `POST /v1/streams`. What is not listed here is refused, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    url: str = Field(
        max_length=MAX_URL,
        repr=False,
        description="rtsp:// or rtsps://, credentials before the host: rtsp://user:password@camera:554/path. "
        "They are never told again.",
        examples=["rtsp://user:password@192.168.1.20:554/stream1"],
    )
    id: str | None = Field(
        default=None,
        pattern=STREAM_ID_PATTERN,
        description="Chosen by the client: asking again with the same id and options makes no second stream. `str_` "
        "and a ULID; absent: made here.",
        examples=[STREAM_ID],
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_CAMERA_NAME,
        pattern=PRINTABLE,
        description="What people call the camera; its metrics are by that name where FOVEA_CAMERA_METRICS is set.",
        examples=["front door"],
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        max_length=MAX_LABELS,
        description="Kept and told back as they are; for the client's own use.",
        examples=[{"site": "north"}],
    )
    model: str = Field(default="auto", min_length=1, max_length=MAX_NAME, description="As for recognitions.")
    task: str | None = Field(default=None, min_length=1, max_length=MAX_NAME, description="As for recognitions.")
    budget_gflops: float | None = Field(
        default=None, gt=0, le=MAX_GFLOPS, description="What a window may cost in the mean; absent: the model's own."
    )
    max_gflops: float | None = Field(
        default=None, gt=0, le=MAX_GFLOPS, description="What one window may cost at most; absent: no ceiling."
    )
    window_s: float = Field(default=4.0, gt=0, description="How much of the past a result looks at.", examples=[4.0])
    stride_s: float = Field(
        default=1.0,
        gt=0,
        description="Time from one window to the next; rounded to the window's grid (window_s / the model's frames).",
        examples=[1.0],
    )
    top_k: int = Field(default=5, ge=1, description="How many labels a result tells at most.")
    min_score: float = Field(default=0.0, ge=0, le=1, description="Labels below this score are not told.")
    abstain: bool = Field(default=True, description="As for recognitions.")
    on: Emit = Field(
        default=Emit.RESULT, description="`change`: only results whose `label` is another; none (null) counts as one."
    )
    ttl_s: float | None = Field(
        default=None, gt=0, description="Unsubscribe by itself after so many seconds without a read; absent: never."
    )
    decode: Decode = Field(
        default=Decode.AUTO,
        description="auto: keyframes alone while the scene is quiet and enough of them fall in a window, else all.",
    )
    transport: Transport = Field(default="tcp", description="How RTP travels.")
    clock: Clock = Field(
        default=Clock.AUTO,
        description="Whose time pictures get. auto: the camera's, until it is found to run wrong; then, and with "
        "`arrival`, the time when they reach the service.",
    )
    connect_timeout_s: float | None = Field(
        default=None, gt=0, le=60, description="For the TCP connection; absent: the service's."
    )
    open_timeout_s: float | None = Field(
        default=None,
        gt=0,
        le=120,
        description="From then on until it plays; absent: the service's. A relay that starts its source needs longer.",
        examples=[15.0],
    )
    stall_timeout_s: float | None = Field(
        default=None,
        gt=0,
        le=600,
        description="Without a picture, before it counts as lost; absent: the service's. Longer than the camera's "
        "pictures are apart.",
        examples=[15.0],
    )
    webhook_url: str | None = Field(
        default=None,
        max_length=MAX_URL,
        repr=False,
        description="Where to post signed messages (Standard Webhooks), beside the events. It is told again without "
        "path and query.",
        examples=["https://receiver.example.org/hook"],
    )
    webhook_events: list[WebhookEvent] = Field(
        default_factory=lambda: [WebhookEvent.RESULT, WebhookEvent.DONE],
        min_length=1,
        description="Which: result of each window that becomes an event, state of the camera, done once it is deleted.",
    )


class StreamError(Value):
    error_class: ErrorClass
    detail: str = Field(description="For people; never with credentials.", examples=["nothing listens on port 554"])
    attempts: int = Field(description="Failed in a row.", examples=[3])
    retry_at: datetime | None = Field(description="When it is tried again.", examples=[WHEN])


class StreamVideo(Value):
    """What the camera sends now."""

    width: int = Field(examples=[1280])
    height: int = Field(examples=[720])
    codec: str = Field(examples=["h264"])
    keyframe_interval_s: float | None = Field(
        description="null until two were seen, and where none can be decoded alone.", examples=[1.0]
    )
    clock: ClockUsed = Field(description="Whose time its pictures get now.", examples=["camera"])


class StreamStatus(Value):
    """Data of `event: state` is this with `stream`; GET holds it as `status`."""

    state: StreamState
    since: datetime = Field(description="When it came into that state.", examples=[WHEN])
    error: StreamError | None = Field(description="Why there are no pictures; null while live.")
    epoch: int = Field(
        description="Counts connections and breaks in the camera's time; no window reaches across.", examples=[1]
    )
    decode: Decode = Field(description="What is decoded at the moment: `all` or `keyframes`.", examples=["keyframes"])
    video: StreamVideo | None = Field(description="null until the first picture.")


class StateEvent(StreamStatus):
    """Data of `event: state`."""

    stream: str = Field(examples=[STREAM_ID])


class GapEvent(Value):
    """Data of `event: gap`, which has no id: what lay between two events is forgotten.

    Only the newest events are kept, and a Redis without persistence forgets all of them when it is restarted.
    """

    stream: str = Field(examples=[STREAM_ID])
    after: str = Field(
        description="The event before the gap: the one that was to be resumed after.", examples=[EVENT_ID]
    )
    before: str = Field(description="The event that comes next.", examples=["1764036060000-0"])


class StreamCounts(Value):
    """Since this replica took the stream up."""

    results: int = Field(description="Windows that were recognised.", examples=[3600])
    windows_dropped: int = Field(description="Windows that were not, because the next was there.", examples=[2])
    frames_decoded: int = Field(examples=[3610])
    frames_dropped: int = Field(description="Damaged frames, and frames that came too late.", examples=[0])
    reconnects: int = Field(examples=[1])
    spent_gflops: float = Field(examples=[610.4])


class Stream(Value):
    """A subscription and where it stands."""

    id: str = Field(examples=[STREAM_ID])
    name: str | None = Field(default=None, description="As subscribed.", examples=["front door"])
    labels: dict[str, str] = Field(default_factory=dict, examples=[{"site": "north"}])
    url: str = Field(description="Without credentials.", examples=["rtsp://***@192.168.1.20:554/stream1"])
    model: str = Field(description="`auto` is settled when subscribing.", examples=["adafocus-v3-compact"])
    task: str = Field(examples=["sports-actions"])
    budget_gflops: float = Field(examples=[1.2])
    max_gflops: float | None = Field(examples=[None])
    window_s: float = Field(examples=[4.0])
    stride_s: float = Field(description="As rounded.", examples=[1.0])
    grid_s: float = Field(description="Distance of a window's frames.", examples=[0.25])
    top_k: int = Field(examples=[5])
    min_score: float = Field(examples=[0.0])
    abstain: bool = Field(default=True, description="As asked.")
    on: Emit
    decode: Decode = Field(description="As asked; `status.decode` is what is done.")
    transport: Transport
    clock: Clock = Field(description="As asked; `status.video.clock` is whose time is used.")
    connect_timeout_s: float | None = Field(description="As asked; null: the service's.", examples=[None])
    open_timeout_s: float | None = Field(description="As asked; null: the service's.", examples=[15.0])
    stall_timeout_s: float | None = Field(description="As asked; null: the service's.", examples=[None])
    ttl_s: float | None = Field(examples=[None])
    webhook_url: str | None = Field(
        default=None, description="Without path and query.", examples=["https://receiver.example.org:443/…"]
    )
    webhook_events: list[WebhookEvent] = Field(default_factory=list, examples=[["result", "done"]])
    created_at: datetime = Field(examples=[WHEN])
    expires_at: datetime | None = Field(description="Without a further read; null without ttl_s.", examples=[None])
    status: StreamStatus
    counts: StreamCounts
    last_event_id: str | None = Field(description="Of the newest event kept.", examples=[EVENT_ID])


class StreamList(Value):
    streams: list[Stream]
    unreadable: list[str] = Field(
        default_factory=list,
        description="Ids of streams that another version of Fovea has subscribed, which this one cannot read.",
        examples=[[]],
    )


class Window(Value):
    """The stretch of the stream that a result looked at."""

    start_s: float = Field(description="In seconds of the epoch.", examples=[12.0])
    end_s: float = Field(examples=[16.0])
    partial: bool = Field(
        description="true: shorter than window_s, because the epoch is still young; its frames are repeated."
    )


class Frames(Value):
    """What became of the camera's frames since the result before."""

    decoded: int = Field(examples=[25])
    dropped: int = Field(description="Damaged, or too late.", examples=[0])
    distinct: int = Field(description="Different frames in this window.", examples=[16])
    reused: int = Field(description="Of these, seen by the glance in an earlier window already.", examples=[6])


class ResultEvent(Value):
    """Data of `event: result`."""

    stream: str = Field(examples=[STREAM_ID])
    captured_at: datetime = Field(
        description="When the window's newest picture reached this machine, by the least delayed packets.",
        examples=[WHEN],
    )
    frame_age_s: float = Field(description="From then to this result.", examples=[0.18])
    epoch: int = Field(examples=[1])
    window: Window
    decode: Decode = Field(description="`all` or `keyframes`.")
    frames: Frames
    windows_dropped: int = Field(description="Since the result before.", examples=[0])
    recognition: RecognitionAnswer = Field(description="As for an upload; `predictions` holds those of min_score.")
