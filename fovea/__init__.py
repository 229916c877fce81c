"""Calls a running Fovea service from Python. Knows HTTP and the API's JSON, and nothing of how a video is recognised.

    import fovea

    with fovea.Client("http://127.0.0.1:8000") as client:
        print(client.recognize("clip.mp4", budget_gflops=1.5).predictions[0].label)

`AsyncClient` is the same with `async`. What a service refuses is raised as one of the errors in `fovea.errors`, all
of them `FoveaError`s. Public are the names in `__all__` and the modules `errors`, `words`, `answers`,
`stream_answers`, `timeline_answers`, `job_answers`, `model_answers`.

Names are imported when they are first asked for (PEP 562): the service's own processes want the errors alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = [
    "AbstainReason",
    "AsyncClient",
    "AsyncJob",
    "AsyncJobs",
    "AsyncStreams",
    "Box",
    "BudgetTooSmall",
    "Client",
    "Clock",
    "Compute",
    "Conflict",
    "CubePlace",
    "DeadlineBeforeGlance",
    "Decode",
    "DecodeCrashed",
    "DecodeTimeout",
    "Delivery",
    "DeliveryState",
    "Draining",
    "Emit",
    "ErrorClass",
    "Exit",
    "ExitReason",
    "ForeignOrigin",
    "FoveaError",
    "Frames",
    "GapEvent",
    "HeadersTooLarge",
    "InferenceFailed",
    "InvalidOption",
    "InvalidRequest",
    "InvalidUpload",
    "Job",
    "JobAbandoned",
    "JobAnswer",
    "JobCancelled",
    "JobEvent",
    "JobFinished",
    "JobList",
    "JobOptions",
    "JobState",
    "JobStateEvent",
    "Jobs",
    "KeyInUse",
    "KeyReused",
    "MalformedUpload",
    "MissingScope",
    "NoVideoStream",
    "NotAcceptable",
    "NotReady",
    "OutOfMemory",
    "Overloaded",
    "Picture",
    "Prediction",
    "Problem",
    "QuotaExceeded",
    "RecognitionAnswer",
    "RecognitionOptions",
    "RequestCancelled",
    "ResultEvent",
    "Segment",
    "ServerProblem",
    "ServiceLost",
    "StateEvent",
    "StepEvent",
    "StepTaken",
    "Stream",
    "StreamCounts",
    "StreamError",
    "StreamEvent",
    "StreamOptions",
    "StreamState",
    "StreamStatus",
    "StreamVideo",
    "Streams",
    "TimelineAnswer",
    "TimelineCompute",
    "TimelineEnd",
    "TimelineJobOptions",
    "TimelineOptions",
    "TimelinePoint",
    "TimelineProgress",
    "TimelineTimingMs",
    "TimelineVideo",
    "TimelineWindows",
    "TimingMs",
    "Unauthenticated",
    "Unavailable",
    "UnknownHost",
    "UnknownJob",
    "UnknownModel",
    "UnknownStream",
    "UnsupportedMediaType",
    "UploadTimeout",
    "UploadTooLarge",
    "UrlNotFetched",
    "Video",
    "VideoError",
    "VideoInput",
    "VideoLimitExceeded",
    "VideoUnreadable",
    "WebhookEvent",
    "Window",
]

# Where a name may stand, what is imported fastest first.
_HOMES = (
    "errors",
    "words",
    "answers",
    "stream_answers",
    "timeline_answers",
    "job_answers",
    "model_answers",
    "_calls",
    "_resume",
    "_waiting",
    "_streams",
    "_async_streams",
    "_jobs",
    "_async_jobs",
    "_client",
    "_async_client",
)

if TYPE_CHECKING:
    from fovea._async_client import AsyncClient
    from fovea._async_jobs import AsyncJob, AsyncJobs
    from fovea._async_streams import AsyncStreams
    from fovea._calls import (
        JobOptions,
        RecognitionOptions,
        StreamOptions,
        TimelineJobOptions,
        TimelineOptions,
        VideoInput,
    )
    from fovea._client import Client
    from fovea._jobs import Job, Jobs
    from fovea._resume import StreamEvent
    from fovea._streams import Streams
    from fovea._waiting import JobEvent
    from fovea.answers import (
        Box,
        Compute,
        CubePlace,
        Exit,
        Picture,
        Prediction,
        Problem,
        RecognitionAnswer,
        StepEvent,
        StepTaken,
        TimingMs,
        Video,
    )
    from fovea.errors import (
        BudgetTooSmall,
        Conflict,
        DeadlineBeforeGlance,
        DecodeCrashed,
        DecodeTimeout,
        Draining,
        ForeignOrigin,
        FoveaError,
        HeadersTooLarge,
        InferenceFailed,
        InvalidOption,
        InvalidRequest,
        InvalidUpload,
        JobAbandoned,
        JobCancelled,
        JobFinished,
        KeyInUse,
        KeyReused,
        MalformedUpload,
        MissingScope,
        NotAcceptable,
        NotReady,
        NoVideoStream,
        OutOfMemory,
        Overloaded,
        QuotaExceeded,
        RequestCancelled,
        ServerProblem,
        ServiceLost,
        Unauthenticated,
        Unavailable,
        UnknownHost,
        UnknownJob,
        UnknownModel,
        UnknownStream,
        UnsupportedMediaType,
        UploadTimeout,
        UploadTooLarge,
        UrlNotFetched,
        VideoError,
        VideoLimitExceeded,
        VideoUnreadable,
    )
    from fovea.job_answers import Delivery, JobAnswer, JobList, JobStateEvent
    from fovea.stream_answers import (
        Frames,
        GapEvent,
        ResultEvent,
        StateEvent,
        Stream,
        StreamCounts,
        StreamError,
        StreamStatus,
        StreamVideo,
        Window,
    )
    from fovea.timeline_answers import (
        Segment,
        TimelineAnswer,
        TimelineCompute,
        TimelineEnd,
        TimelinePoint,
        TimelineProgress,
        TimelineTimingMs,
        TimelineVideo,
        TimelineWindows,
    )
    from fovea.words import (
        AbstainReason,
        Clock,
        Decode,
        DeliveryState,
        Emit,
        ErrorClass,
        ExitReason,
        JobState,
        StreamState,
        WebhookEvent,
    )
else:  # a type checker that saw this function would take any misspelt name for an object

    def __getattr__(name: str) -> object:
        if name in __all__:
            for home in _HOMES:
                module = import_module(f"fovea.{home}")
                if hasattr(module, name):
                    globals()[name] = getattr(module, name)
                    return globals()[name]
        raise AttributeError(f"module 'fovea' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
