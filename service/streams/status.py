"""Where a stream stands, as a value: one enum for answers, events and metrics. Knows no camera."""

from enum import StrEnum


class StreamState(StrEnum):
    """What is being done about a camera at the moment."""

    WAITING = "waiting"  # no replica has taken it up yet
    CONNECTING = "connecting"  # being opened for the first time
    LIVE = "live"  # pictures arrive
    RECONNECTING = "reconnecting"  # lost or not to be had; `error` says why and when it is tried again
    DELETED = "deleted"  # unsubscribed, or its lease ran out; the last event of a stream


class Emit(StrEnum):
    """Which results become events."""

    RESULT = "result"  # all of them
    CHANGE = "change"  # those whose best label differs from that of the one before


class Decode(StrEnum):
    """Which frames of a camera are decoded."""

    AUTO = "auto"  # keyframes while nothing happens and enough of them fall in a window, else all
    ALL = "all"
    KEYFRAMES = "keyframes"
