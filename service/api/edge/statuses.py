"""What an error means to the client: here, and nowhere else, it gets its status. Knows no HTTP and no request."""

from dataclasses import dataclass

from fovea import errors
from fovea.errors import FoveaError
from service.metrics import Outcome


@dataclass(frozen=True, slots=True)
class Answer:
    """What an error means to the client, and how it is counted."""

    status: int
    outcome: Outcome


# The nearest ancestor in this table answers for an error.
ANSWERS: dict[type[FoveaError], Answer] = {
    errors.InvalidRequest: Answer(422, "invalid"),
    errors.UnknownStream: Answer(404, "invalid"),
    errors.UnknownJob: Answer(404, "invalid"),
    errors.Conflict: Answer(409, "invalid"),
    errors.JobAbandoned: Answer(422, "invalid"),  # of a job alone; most likely the video is the reason
    errors.MalformedUpload: Answer(400, "invalid"),
    errors.UnsupportedMediaType: Answer(415, "invalid"),
    errors.Unauthenticated: Answer(401, "invalid"),
    errors.MissingScope: Answer(403, "invalid"),
    errors.QuotaExceeded: Answer(429, "rejected"),
    errors.UnknownHost: Answer(421, "invalid"),
    errors.ForeignOrigin: Answer(403, "invalid"),
    errors.HeadersTooLarge: Answer(431, "invalid"),
    errors.NotAcceptable: Answer(406, "invalid"),
    errors.UploadTooLarge: Answer(413, "invalid"),
    errors.UploadTimeout: Answer(408, "invalid"),
    errors.VideoError: Answer(422, "invalid"),
    errors.Overloaded: Answer(429, "rejected"),
    errors.Unavailable: Answer(503, "rejected"),
    errors.DeadlineBeforeGlance: Answer(503, "expired"),
    errors.RequestCancelled: Answer(499, "cancelled"),  # nginx's number; nobody is there to read it
    errors.FoveaError: Answer(500, "error"),
}


def answer_to(error: FoveaError) -> Answer:
    return next(ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)
