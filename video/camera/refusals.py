"""What a camera's refusal means, in words: RTSP status codes (RFC 2326, section 11). Knows no connection."""

from dataclasses import dataclass

from fovea.words import ErrorClass


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of 400 or above."""

    method: str
    status: int


def meaning_of(refusal: Refusal) -> tuple[ErrorClass, str]:
    """Its class, and a sentence with {host} and {transport} to fill in."""
    error_class, words = _MEANINGS.get(refusal.status, _OTHER_5XX if refusal.status >= 500 else _OTHER_4XX)
    return error_class, f"{{host}} {words} ({refusal.status} to {refusal.method or 'a request'})"


_MEANINGS: dict[int, tuple[ErrorClass, str]] = {
    400: (ErrorClass.PROTOCOL, "takes the request for malformed; check the path of its URL"),
    401: (ErrorClass.AUTH, "refuses the user name or the password"),
    403: (ErrorClass.AUTH, "refuses this user"),
    404: (ErrorClass.NOT_FOUND, "has no stream at this path, or its source is away"),
    405: (ErrorClass.PROTOCOL, "does not do that at this path; check the path of its URL"),
    406: (ErrorClass.UNSUPPORTED, "has no description of its stream that is read here"),
    415: (ErrorClass.UNSUPPORTED, "has no description of its stream that is read here"),
    453: (ErrorClass.BUSY, "has no bandwidth left for one more viewer; close another, or lower its bit rate"),
    454: (ErrorClass.PROTOCOL, "has forgotten the session that it had just begun; it is asked for a new one"),
    455: (ErrorClass.PROTOCOL, "is in no state to do that now; it is asked again"),
    459: (ErrorClass.PROTOCOL, "wants another path for that; give the URL that its manual names for one stream"),
    460: (ErrorClass.PROTOCOL, "wants another path for that; give the URL that its manual names for one stream"),
    461: (ErrorClass.PROTOCOL, "does not send over {transport}; ask for the other transport"),
    462: (ErrorClass.UNREACHABLE, "cannot send to this machine"),
    500: (ErrorClass.PROTOCOL, "failed inside; where that lasts, restart it"),
    501: (ErrorClass.PROTOCOL, "does not know a method that is needed"),
    503: (ErrorClass.BUSY, "is overloaded or still starting"),
    505: (ErrorClass.PROTOCOL, "speaks another version of RTSP"),
    551: (ErrorClass.PROTOCOL, "does not know an option that is needed"),
}
_OTHER_4XX = ErrorClass.PROTOCOL, "refuses the request"
_OTHER_5XX = ErrorClass.PROTOCOL, "cannot do what was asked"
