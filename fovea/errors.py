"""Every error Fovea raises on purpose. Knows no HTTP: the service alone maps these to status codes.

FoveaError
├── InvalidRequest            the caller asked for something that cannot be
│   ├── InvalidOption         an option's value breaks its rule, or the option does not exist
│   ├── UnknownModel          no bundle of that name (or none for that task)
│   ├── UnknownStream         no stream of that id, or it is deleted
│   ├── UnknownJob            no job of that id, or it was kept long enough
│   ├── KeyReused             an Idempotency-Key came again with another request
│   ├── BudgetTooSmall        less than the cheapest answer costs
│   ├── UrlNotFetched         what the body names could not be had from there
│   └── InvalidUpload         the body does not hold one video: empty, none, or two of them
│       └── MalformedUpload   the body breaks the rules of its own format, or breaks off
├── Conflict                  it cannot be done as things stand
│   ├── JobFinished           a job that has ended cannot be cancelled
│   └── KeyInUse              the first request with this Idempotency-Key is not answered yet
├── UnsupportedMediaType      the body is not something Fovea reads
├── Unauthenticated           no key, or one that opens nothing
├── MissingScope              a key that does not open this
├── QuotaExceeded             a key has used up what it may in a minute or a day
├── UnknownHost               asked under a name that is not the service's
├── ForeignOrigin             a page of another site asked for a change
├── HeadersTooLarge           more, or longer, headers than are read
├── NotAcceptable             no form of the answer that the service writes is accepted
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
│   ├── DeadlineBeforeGlance  the deadline passed before there was any answer to give
│   └── OutOfMemory           what the model looks at does not fit the device's memory
├── RequestCancelled          the client left; nobody reads this
├── JobAbandoned              a job was begun as often as it may be, and never ended
├── InferenceFailed           a bug or a broken device; the batch it hit is lost
├── JobCancelled              clients only: the job that was waited for
├── ServerProblem             clients only: an answer that this version does not know
└── ServiceLost               clients only: no answer, or half of one

The service raises these errors, and the client raises the same ones again at the other end of the line. A sentence
that is said in several places is a constructor of its error.
"""

from collections.abc import Iterable
from typing import ClassVar, Self


class FoveaError(Exception):
    """`str(error)` names the value, the rule and the way out. `slug` is stable and part of the API: `/problems/SLUG`
    is a page that says `title` and `advice`.

    `retry_after_s` is set where trying again later may help; `extra` holds machine-readable facts (plain JSON values).
    """

    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    advice: ClassVar[str] = (
        "Nothing you sent caused this. Try again; if it stays, report it with the request's id (`instance`): the "
        "service's log has the trace under that id."
    )

    def __init__(self, detail: str, *, retry_after_s: float | None = None, **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extra = extra


class InvalidRequest(FoveaError):
    slug = "invalid-request"
    title = "The request cannot be served as asked"
    advice = "Read `detail`: it names the value, the rule that it breaks, and what would be accepted."


class InvalidOption(InvalidRequest):
    slug = "invalid-option"
    title = "An option is not valid"
    advice = (
        "`detail` names the option and its rule. Options go into the query or into form fields before the file, "
        "each once; /docs lists them all."
    )


class UnknownModel(InvalidRequest):
    slug = "unknown-model"
    title = "No such model"
    advice = (
        "`GET /v1/models` lists the models that are loaded here. Leave `model` out, or say `auto`, to let the "
        "budget choose."
    )

    @classmethod
    def not_loaded(cls, name: str, choices: Iterable[str]) -> Self:
        """`choices`: every name that would have been right."""
        return cls(f"model {name!r} is not loaded here; choose one of: {', '.join(choices)}")


class UnknownStream(InvalidRequest):
    slug = "unknown-stream"
    title = "No such stream"
    advice = (
        "`GET /v1/streams` lists the streams there are. One that is deleted, or that nobody read for its `ttl_s`, is "
        "gone; subscribe to the camera again."
    )


class UnknownJob(InvalidRequest):
    slug = "unknown-job"
    title = "No such job"
    advice = (
        "`GET /v1/jobs` lists the jobs there are. One that has ended is kept for as long as the setting "
        "`FOVEA_JOB_RETENTION_S` says; ask for the answer again if it is gone."
    )


class KeyReused(InvalidRequest):
    slug = "idempotency-key-reused"
    title = "The idempotency key belongs to another request"
    advice = (
        "An `Idempotency-Key` names one request: same path, same options, same body. Make a new key (a UUID) for "
        "everything else."
    )


class Conflict(FoveaError):
    slug = "conflict"
    title = "It cannot be done as things stand"
    advice = "Read `detail`: it says what stands in the way, and what can be done."


class JobFinished(Conflict):
    slug = "job-finished"
    title = "The job has ended"
    advice = "What has ended cannot be cancelled. `GET` the job for its result; it is forgotten by itself."


class KeyInUse(Conflict):
    slug = "idempotency-key-in-use"
    title = "The first request with this key is not answered yet"
    advice = "Wait for `Retry-After` seconds and send the same request again: its answer will be the first one's."


class BudgetTooSmall(InvalidRequest):
    slug = "budget-too-small"
    title = "The budget is below the cheapest answer"
    advice = "The first step is the cheapest answer there is. Ask for at least `least_gflops`, or leave the option out."

    @classmethod
    def below_glance(cls, option: str, gflops: float | str, model: str, least_gflops: float) -> Self:
        """`gflops` as it was asked for. `least_gflops` is told in full: rounded, it might be refused again."""
        return cls(
            f"{option}={gflops} is below the {least_gflops} GFLOPs that the first step of {model} costs; "
            f"ask for at least {least_gflops}",
            option=option,
            least_gflops=least_gflops,
        )


class UrlNotFetched(InvalidRequest):
    slug = "url-not-fetched"
    title = "The video could not be fetched"
    advice = (
        "See whether the URL answers to whoever asks, at once and with the video itself; a presigned one may have "
        "expired. Or send the video in the request."
    )


class InvalidUpload(InvalidRequest):
    slug = "invalid-upload"
    title = "The upload does not hold one video"
    advice = (
        "Send exactly one file, in a form part named `video` or as the whole body. With curl, mind the @ before "
        "the file's name."
    )


class MalformedUpload(InvalidUpload):
    slug = "malformed-upload"
    title = "The upload is malformed or incomplete"
    advice = (
        "The connection broke, or the form is not closed properly. Send the whole body again; let an HTTP library"
        " write the form."
    )


class UnsupportedMediaType(FoveaError):
    slug = "unsupported-media-type"
    title = "The body is not of a supported type"
    advice = (
        "Send `multipart/form-data` with a part named `video`, or the video itself as `video/*` or "
        "`application/octet-stream`."
    )


class Unauthenticated(FoveaError):
    slug = "unauthenticated"
    title = "A key is needed"
    advice = (
        "Send `Authorization: Bearer KEY`; the Python client takes `api_key`, the command line `--api-key`, and both "
        "read `FOVEA_API_KEY`. Keys come from the operator, who makes them with `fovea keys add NAME`."
    )


class MissingScope(FoveaError):
    slug = "missing-scope"
    title = "The key does not open this"
    advice = "Ask with another key, or have the operator add the scope that `scope` names to this one."


class QuotaExceeded(FoveaError):
    slug = "quota-exceeded"
    title = "The key has used up a limit"
    advice = (
        "`limit` names it; after `Retry-After` seconds there is room again. `GET /v1/usage` tells what was used. A "
        "smaller `max_gflops` needs less of the limits on GFLOPs."
    )


class UnknownHost(FoveaError):
    slug = "unknown-host"
    title = "The service does not answer to this name"
    advice = (
        "Ask under `localhost`, by IP address, or under a name in the setting `FOVEA_ALLOWED_HOSTS`. Other names are "
        "refused so that no page can reach the service by a name that it makes point here."
    )


class ForeignOrigin(FoveaError):
    slug = "foreign-origin"
    title = "A page of another site may not ask for this"
    advice = (
        "A browser sent this for a page of another origin. The operator allows such pages with the setting "
        "`FOVEA_ALLOWED_ORIGINS`; programs that are no browsers are not concerned."
    )


class HeadersTooLarge(FoveaError):
    slug = "headers-too-large"
    title = "The headers are too large"
    advice = "Send fewer and shorter headers (`max_headers`, `max_bytes`); a long cookie is the usual cause."


class NotAcceptable(FoveaError):
    slug = "not-acceptable"
    title = "The answer cannot be written in a form you accept"
    advice = "Accept `application/json` for one answer, or `text/event-stream` for every step as it is taken."


class UploadTooLarge(FoveaError):
    slug = "upload-too-large"
    title = "The upload is too large"
    advice = (
        "Send a part of the video, or encode it smaller: recognition looks at small pictures anyway. `max_bytes` "
        "is what is taken here."
    )


class UploadTimeout(FoveaError):
    slug = "upload-timeout"
    title = "The upload took too long"
    advice = "Send a smaller file, or use a faster connection."


class VideoError(FoveaError):
    slug = "video-error"
    title = "The video cannot be used"
    advice = "Read `detail`; converting the video to H.264 in MP4 helps in most cases."


class VideoUnreadable(VideoError):
    slug = "video-unreadable"
    title = "The video cannot be read"
    advice = (
        "Check that the file plays and is complete, then convert it: `ffmpeg -i FILE -c:v libx264 -pix_fmt "
        "yuv420p -movflags +faststart out.mp4`."
    )


class NoVideoStream(VideoError):
    slug = "no-video-stream"
    title = "The file holds no video"
    advice = "The file has sound or cover art alone. Send one with moving pictures."


class VideoLimitExceeded(VideoError):
    slug = "video-limit-exceeded"
    title = "The video is beyond a limit"
    advice = "Send a part of the video, or scale it down; `detail` names the limit and what the video has."

    @classmethod
    def too_elongated(cls, width_px: int, height_px: int, max_aspect: int) -> Self:
        """The picture as it is shown, and how many times the shorter side the longer one may be."""
        return cls(f"the picture is shown as {width_px} x {height_px}, longer than {max_aspect}:1; crop the video")


class DecodeTimeout(VideoError):
    slug = "decode-timeout"
    title = "Decoding took too long"
    advice = "The video is unusually hard to decode, or damaged. Send a shorter part, or convert it to H.264."


class DecodeCrashed(VideoError):
    slug = "decode-crashed"
    title = "Decoding crashed"
    advice = (
        "The decoder gave up on this file, and the service went on. The file is probably damaged: convert it and "
        "send it again."
    )


class Overloaded(FoveaError):
    slug = "overloaded"
    title = "The service is at capacity"
    advice = "Try again after `Retry-After` seconds; it is computed from what is queued and from the measured speed."


class Unavailable(FoveaError):
    slug = "unavailable"
    title = "The service cannot answer now"
    advice = "Try again after `Retry-After` seconds, or ask another replica."

    @classmethod
    def engine_ended(cls) -> Self:
        """The thread that owns the device is gone, and only a new process helps."""
        return cls("the engine has ended and this process has to be restarted, its log says why; ask another replica")


class NotReady(Unavailable):
    slug = "not-ready"
    title = "The service is still loading"
    advice = "The models are being loaded. Try again in a moment; `/readyz` says when."


class Draining(Unavailable):
    slug = "draining"
    title = "The service is shutting down"
    advice = "This replica is going down. Send the request again: another one will answer."

    @classmethod
    def refused(cls) -> Self:
        """Nothing was begun."""
        return cls("the service is shutting down; send the request again to another replica", retry_after_s=1)

    @classmethod
    def cut_off(cls, what: str) -> Self:
        """`what` had been begun: a request, a video."""
        return cls(
            f"the service shut down before this {what} was done; send it again to another replica", retry_after_s=1
        )


class DeadlineBeforeGlance(Unavailable):
    slug = "deadline-before-glance"
    title = "The deadline passed before there was an answer"
    advice = "Give `deadline_ms` more time (`least_ms` is the fastest answer so far), or leave it out."


class OutOfMemory(Unavailable):
    slug = "out-of-memory"
    title = "The model does not fit the memory"
    advice = (
        "`detail` says what was to be looked at. The service goes on; this model may never fit here: ask for another, "
        "or have it served where there is more memory."
    )


class RequestCancelled(FoveaError):
    slug = "cancelled"
    title = "The request was cancelled"
    advice = "The client closed the connection before the answer; nobody was there to read this."

    @classmethod
    def before_answer(cls) -> Self:
        return cls("the client left before the answer was complete")


class JobAbandoned(FoveaError):
    slug = "job-abandoned"
    title = "The job was given up"
    advice = (
        "Each time that it was begun, the process that worked on it ended before it was done. The video may be the "
        "reason: send it as a plain request to see what is wrong with it."
    )


class InferenceFailed(FoveaError):
    slug = "inference-failed"
    title = "Inference failed"
    advice = (
        "The batch that this request was in failed, and the service goes on. Try again; if it stays, report it "
        "with the request's id."
    )


class ServerProblem(FoveaError):
    """What a service answered, where nothing more is known of it: a newer service's problem, or none of Fovea's."""

    slug = "server-problem"
    title = "The service refused"


class ServiceLost(FoveaError):
    """Not reached, gone in mid-answer, or silent for too long."""

    slug = "service-lost"
    title = "The service did not answer"


class JobCancelled(FoveaError):
    """Waited for, and called off meanwhile: there is no answer."""

    slug = "job-cancelled"
    title = "The job was cancelled"


_CLIENTS_ONLY = (JobCancelled, ServerProblem, ServiceLost)


def every_kind() -> list[type[FoveaError]]:
    """Every error that a service answers with, in the order of the tree."""
    kinds = (kind for kind in globals().values() if isinstance(kind, type) and issubclass(kind, FoveaError))
    return [kind for kind in kinds if kind not in _CLIENTS_ONLY]
