"""The words of the API: each list of names that an answer, an event or a metric may hold, and the largest values.

Knows no HTTP and no answer: the floors above speak in these words, too.
"""

from enum import StrEnum
from typing import Literal, TypeAlias

MAX_GFLOPS = 10**9  # a second of the largest machines; anything beyond is a slip
MAX_NAME = 128


class ExitReason(StrEnum):
    """Why a recognition stopped where it did, in the order in which they are checked (docs/ARCHITECTURE.md)."""

    CONFIDENT = "confident"  # entropy at or below the step's threshold
    BUDGET = "budget"  # the budget's threshold of this step stops every video, sure or not
    CEILING = "ceiling"  # the next step would pass max_flops
    DEADLINE = "deadline"  # out of time: the best answer so far
    EXHAUSTED = "exhausted"  # no step left to take
    UNDECODED = "undecoded"  # the frames of the next step could not be decoded: the answer before it


class AbstainReason(StrEnum):
    """Why an answer has no label, in the order in which they are checked."""

    NOT_KNOWN = "not_known"  # in_domain below the model's threshold: not one of the things it knows
    BELOW_MIN_SCORE = "below_min_score"  # the best score is below min_score


class StreamState(StrEnum):
    """What is being done about a camera at the moment."""

    WAITING = "waiting"  # no replica has taken it up yet
    CONNECTING = "connecting"  # being opened for the first time
    LIVE = "live"  # pictures arrive
    RECONNECTING = "reconnecting"  # lost, or not reached yet; `error` says why and when it is tried again
    DELETED = "deleted"  # unsubscribed, or its lease ran out; the last event of a stream


class JobState(StrEnum):
    """Where a job stands. The last three are final."""

    QUEUED = "queued"  # accepted, and nobody works on it
    RUNNING = "running"
    SUCCEEDED = "succeeded"  # `result` holds the answer
    FAILED = "failed"  # `problem` says why
    CANCELLED = "cancelled"  # by its client

    @property
    def is_final(self) -> bool:
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


class WebhookEvent(StrEnum):
    """Of what a receiver is told."""

    STATE = "state"  # a job is being worked on; a camera's state changed
    RESULT = "result"  # a job's answer; a window's result
    DONE = "done"  # a job has ended, however; a stream is deleted


class DeliveryState(StrEnum):
    """What became of a message to a receiver."""

    PENDING = "pending"  # to be sent, or to be tried again
    DELIVERED = "delivered"
    DEAD = "dead"  # given up: refused, or tried as often as there are tries


class Emit(StrEnum):
    """Which results become events."""

    RESULT = "result"  # all of them
    CHANGE = "change"  # those whose best label differs from that of the one before


class Decode(StrEnum):
    """Which frames of a camera are decoded."""

    AUTO = "auto"  # keyframes while nothing happens and enough of them fall in a window, else all
    ALL = "all"
    KEYFRAMES = "keyframes"


class Clock(StrEnum):
    """Whose time a camera's pictures get."""

    AUTO = "auto"  # the camera's, until it is found to run wrong
    CAMERA = "camera"
    ARRIVAL = "arrival"  # when they reach this machine


Mode: TypeAlias = Literal["all", "keyframes"]
"""What is decoded: every frame, or keyframes alone."""


ClockUsed: TypeAlias = Literal["camera", "arrival"]
"""Whose time pictures get at the moment."""


class ErrorClass(StrEnum):
    """Why a camera gives no pictures: one list for answers, events, metrics and back-off."""

    DNS = "dns"  # its name does not resolve
    ADDRESS = "address"  # its name resolves to an address that the policy refuses, or it sends to another one
    REFUSED = "refused"  # nothing listens on the port
    UNREACHABLE = "unreachable"  # no route, or nobody answers the connection
    TIMEOUT = "timeout"  # it takes the connection, but does not answer in time
    AUTH = "auth"  # 401 or 403: user name or password
    NOT_FOUND = "not_found"  # 404; relays say so while a camera is away
    BUSY = "busy"  # 453 or 503: it has no room for one more viewer, or is still starting
    TLS = "tls"  # the certificate does not verify, or there is no TLS
    PROTOCOL = "protocol"  # what it says is no RTSP, or it refuses the transport
    BLIND = "blind"  # it plays, but its next keyframe is to come; nobody hangs up meanwhile
    UNSUPPORTED = "unsupported"  # no video stream, or a codec that is not read here
    LIMIT = "limit"  # its pictures are larger than allowed
    ENDED = "ended"  # it closed the stream
    STALLED = "stalled"  # it sends nothing any more
    CRASHED = "crashed"  # the process that decoded it died or hung
