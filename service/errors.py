"""Every error Fovea raises on purpose. Knows no HTTP: `service.api.problems` alone maps these to status codes.

FoveaError
├── InvalidRequest            the caller asked for something that cannot be
│   ├── InvalidOption         an option's value breaks its rule, or the option does not exist
│   ├── UnknownModel          no bundle of that name (or none for that task)
│   ├── BudgetTooSmall        less than the cheapest answer costs
│   └── InvalidUpload         the body does not hold one video: empty, none, or two of them
│       └── MalformedUpload   the body breaks the rules of its own format, or breaks off
├── UnsupportedMediaType      the body is not something Fovea reads
├── NotAcceptable             the answer is wanted in a form there is not
├── UploadTooLarge            more bytes than allowed
├── UploadTimeout             the body did not arrive in time
├── VideoError                the bytes arrived, but are no video that Fovea takes
│   ├── VideoUnreadable       no container or codec on the allow-lists makes sense of it, or it breaks off
│   ├── NoVideoStream         a readable file without pictures (audio only)
│   ├── VideoLimitExceeded    duration, pixels or frames beyond the limits
│   ├── DecodeTimeout         decoding took longer than allowed and was killed
│   └── DecodeCrashed         the decoding process died on it
├── Overloaded                no room now; `retry_after_s` says when there may be
├── Unavailable               the service cannot answer now
│   ├── NotReady              still loading
│   ├── Draining              shutting down
│   └── DeadlineBeforeGlance  the deadline passed before there was any answer to give
├── RequestCancelled          the client left; nobody reads this
└── InferenceFailed           a bug or a broken device; the batch it hit is lost

`service.client` raises these same errors at the other end of the line, and adds what only a client meets.
"""

from typing import ClassVar


class FoveaError(Exception):
    """`str(error)` names the value, the rule and the way out. `slug` is stable and part of the API.

    `retry_after_s` is set where trying again later may help; `extra` holds machine-readable facts (plain JSON values).
    """

    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, retry_after_s: float | None = None, **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extra = extra


class InvalidRequest(FoveaError):
    slug = "invalid-request"
    title = "The request cannot be served as asked"


class InvalidOption(InvalidRequest):
    slug = "invalid-option"
    title = "An option is not valid"


class UnknownModel(InvalidRequest):
    slug = "unknown-model"
    title = "No such model"


class BudgetTooSmall(InvalidRequest):
    slug = "budget-too-small"
    title = "The budget is below the cheapest answer"


class InvalidUpload(InvalidRequest):
    slug = "invalid-upload"
    title = "The upload does not hold one video"


class MalformedUpload(InvalidUpload):
    slug = "malformed-upload"
    title = "The upload is malformed or incomplete"


class UnsupportedMediaType(FoveaError):
    slug = "unsupported-media-type"
    title = "The body is not of a supported type"


class NotAcceptable(FoveaError):
    slug = "not-acceptable"
    title = "The answer is not to be had in that form"


class UploadTooLarge(FoveaError):
    slug = "upload-too-large"
    title = "The upload is too large"


class UploadTimeout(FoveaError):
    slug = "upload-timeout"
    title = "The upload took too long"


class VideoError(FoveaError):
    slug = "video-error"
    title = "The video cannot be used"


class VideoUnreadable(VideoError):
    slug = "video-unreadable"
    title = "The video cannot be read"


class NoVideoStream(VideoError):
    slug = "no-video-stream"
    title = "The file holds no video"


class VideoLimitExceeded(VideoError):
    slug = "video-limit-exceeded"
    title = "The video is beyond a limit"


class DecodeTimeout(VideoError):
    slug = "decode-timeout"
    title = "Decoding took too long"


class DecodeCrashed(VideoError):
    slug = "decode-crashed"
    title = "Decoding crashed"


class Overloaded(FoveaError):
    slug = "overloaded"
    title = "The service is at capacity"


class Unavailable(FoveaError):
    slug = "unavailable"
    title = "The service cannot answer now"


class NotReady(Unavailable):
    slug = "not-ready"
    title = "The service is still loading"


class Draining(Unavailable):
    slug = "draining"
    title = "The service is shutting down"


class DeadlineBeforeGlance(Unavailable):
    slug = "deadline-before-glance"
    title = "The deadline passed before there was an answer"


class RequestCancelled(FoveaError):
    slug = "cancelled"
    title = "The request was cancelled"


class InferenceFailed(FoveaError):
    slug = "inference-failed"
    title = "Inference failed"


def every_kind() -> list[type[FoveaError]]:
    """Every error of this module, in the order of the tree."""
    return [kind for kind in globals().values() if isinstance(kind, type) and issubclass(kind, FoveaError)]
