"""Every key that Fovea has in Redis. Values with passwords are marked."""

PREFIX = "fovea:"
STREAMS = PREFIX + "streams"  # hash: stream id to its record; PASSWORDS of cameras
READ = PREFIX + "read"  # hash: stream id to the ms when somebody last asked for it
REPLICAS = PREFIX + "replicas"  # sorted set: replica to the ms until which it counts as alive


def lease(stream: str) -> str:
    """String: the holder's token; expires with the lease."""
    return f"{PREFIX}stream:{stream}:lease"


def events(stream: str) -> str:
    """Redis stream: the events, its ids theirs."""
    return f"{PREFIX}stream:{stream}:events"


def status(stream: str) -> str:
    """String: what its holder last reported."""
    return f"{PREFIX}stream:{stream}:status"


def removed(stream: str) -> str:
    """String: set for an hour once the stream is removed, so that its holder does not put it back."""
    return f"{PREFIX}stream:{stream}:removed"
