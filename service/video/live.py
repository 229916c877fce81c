"""The values between a camera's ingest and everything else. Knows neither libav nor a model."""

from enum import StrEnum


class ErrorClass(StrEnum):
    """Why a camera gives no pictures: one list for answers, events, metrics and back-off."""

    DNS = "dns"  # its name does not resolve
    ADDRESS = "address"  # its name resolves to an address that the policy refuses
    REFUSED = "refused"  # nothing listens on the port
    UNREACHABLE = "unreachable"  # no route, or nobody answers the connection
    TIMEOUT = "timeout"  # it takes the connection, but does not answer in time
    AUTH = "auth"  # 401 or 403: user name or password
    NOT_FOUND = "not_found"  # 404; relays say so while a camera is away
    TLS = "tls"  # the certificate does not verify, or there is no TLS
    PROTOCOL = "protocol"  # what it says is no RTSP, or it refuses the transport
    UNSUPPORTED = "unsupported"  # no video stream, or a codec that is not read here
    LIMIT = "limit"  # its pictures are larger than allowed
    ENDED = "ended"  # it closed the stream
    STALLED = "stalled"  # it sends nothing any more
    CRASHED = "crashed"  # the process that decoded it died or hung
