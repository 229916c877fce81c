"""Bytes of an address of HTTP, within limits. Every connection, also after a redirect, goes where the policy allows.

Names are resolved in one place, just before connecting, and what was checked is what is connected to. No proxy is
asked, whatever the environment says: it would resolve names by itself.
"""

import asyncio
import ssl
import typing
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import httpcore

from fovea.errors import InvalidOption, UploadTooLarge, UrlNotFetched
from fovea.words import ErrorClass
from service.addresses.policy import AddressPolicy, AddressRefused
from service.fetch.arrival import End, EndWanted, Length, Piece, end_when_wanted, not_wanted
from service.fetch.source import WebSource

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
GRACE_S = 10.0  # before the rate is looked at
HEADERS = {
    "User-Agent": f"fovea/{version('fovea-server')}",
    "Accept": "video/*, application/octet-stream;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What one fetch may take."""

    max_bytes: int
    timeout_s: float  # for all of it, redirects included
    silence_s: float  # for a connection, and without a byte
    min_bytes_per_s: int  # mean rate after the first seconds


class _Place(typing.NamedTuple):
    host: str
    port: int


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to what the policy has resolved, and to nothing else."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        address = await self._policy.resolve(_Place(host, port))
        return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def fetch_web(
    source: WebSource,
    policy: AddressPolicy,
    limits: FetchLimits,
    context: ssl.SSLContext,
    end_wanted: EndWanted = not_wanted,
) -> AsyncGenerator[Piece, None]:
    """The body, piece by piece, its end first where that is wanted and the server gives parts.

    Raises InvalidOption where an address is refused, UrlNotFetched, UploadTooLarge.
    """
    loop = asyncio.get_running_loop()
    started_s, num_bytes = loop.time(), 0
    async with aclosing(_pieces(source, policy, limits, context, end_wanted)) as pieces:
        while True:
            deadline = asyncio.timeout_at(started_s + limits.timeout_s)
            try:
                async with deadline:
                    piece = await anext(pieces, None)
            except (httpcore.TimeoutException, TimeoutError):
                told = (
                    f"silent for {limits.silence_s:g}"
                    if not deadline.expired()
                    else f"not done in {limits.timeout_s:g}"
                )
                raise UrlNotFetched(f"{source} was {told} s ({num_bytes} bytes had come)") from None
            except AddressRefused as error:
                if error.error_class is ErrorClass.ADDRESS:
                    raise InvalidOption(f"url: {error.detail}", option="url") from None
                raise UrlNotFetched(f"{source}: {error.detail}") from None
            except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
                raise UrlNotFetched(f"{source} {_broken(error, num_bytes)}") from None
            if piece is None:
                return
            num_bytes += _size(piece)
            if num_bytes > limits.max_bytes:
                raise _too_large(source, limits)
            seconds = loop.time() - started_s
            if seconds > GRACE_S and num_bytes < limits.min_bytes_per_s * seconds:
                raise UrlNotFetched(
                    f"{source} comes at {num_bytes / seconds:.0f} bytes a second, and {limits.min_bytes_per_s} are the "
                    "least"
                )
            yield piece


def _size(piece: Piece) -> int:
    match piece:
        case Length():
            return 0
        case End(_, content):
            return len(content)
        case _:
            return len(piece)


async def _pieces(
    source: WebSource, policy: AddressPolicy, limits: FetchLimits, context: ssl.SSLContext, end_wanted: EndWanted
) -> AsyncGenerator[Piece, None]:
    """Of the last of the answers: redirects are followed, each as if it had been asked for."""
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), limits.silence_s)
    backend = _CheckedBackend(policy)
    async with httpcore.AsyncConnectionPool(ssl_context=context, network_backend=backend) as pool:
        for _ in range(MAX_REDIRECTS + 1):
            url = _url_of(source)
            asked = HEADERS | source.headers
            extensions = {"timeout": timeouts}
            async with pool.stream("GET", url, headers=list(asked.items()), extensions=extensions) as answer:
                headers = _headers_of(answer)
                if answer.status in REDIRECTS and b"location" in headers:
                    source = source.followed(headers[b"location"].decode("latin-1"))
                    continue
                if answer.status != 200:
                    raise UrlNotFetched(f"{source} answered {answer.status}; it must be there for whoever asks")
                if headers.get(b"content-encoding", b"identity") != b"identity":
                    raise UrlNotFetched(f"{source} sends its video in an encoding that was not asked for")
                announced = headers.get(b"content-length", b"")
                if announced.isdigit() and int(announced) > limits.max_bytes:
                    raise _too_large(source, limits)
                if not announced.isdigit() or b"transfer-encoding" in headers:
                    async for piece in answer.aiter_stream():
                        yield piece
                    return
                length = int(announced)
                fetch_end = partial(_end, pool, url, asked, extensions, _version_of(headers), length)
                async with aclosing(end_when_wanted(_stream_of(answer), length, end_wanted, fetch_end)) as pieces:
                    async for one in pieces:
                        yield one
                return
    raise UrlNotFetched(f"{source} redirects more than {MAX_REDIRECTS} times")


async def _stream_of(answer: httpcore.Response) -> AsyncGenerator[bytes, None]:
    async for piece in answer.aiter_stream():
        yield piece


async def _end(
    pool: httpcore.AsyncConnectionPool,
    url: httpcore.URL,
    asked: dict[str, str],
    extensions: dict[str, dict[str, float]],
    version: bytes | None,
    length: int,
    place: int,
) -> bytes | None:
    """The bytes of the same version from `place` on; None where the server does not give just these."""
    if version is None:
        return None
    told = list((asked | {"Range": f"bytes={place}-{length - 1}", "If-Range": version.decode("latin-1")}).items())
    try:
        async with pool.stream("GET", url, headers=told, extensions=extensions) as answer:
            headers = _headers_of(answer)
            is_it = headers.get(b"content-range") == f"bytes {place}-{length - 1}/{length}".encode()
            if answer.status != 206 or not is_it or headers.get(b"content-encoding", b"identity") != b"identity":
                return None
            content = bytearray()
            async for piece in answer.aiter_stream():
                content += piece
                if len(content) > length - place:
                    return None
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, AddressRefused, OSError):
        return None  # the first answer still comes: what is wrong, it will tell
    return bytes(content) if len(content) == length - place else None


def _version_of(headers: dict[bytes, bytes]) -> bytes | None:
    """The strong validator that a part must be of, RFC 9110, 13.1.5; None where the server gives no parts, or none that
    surely belong."""
    tag = headers.get(b"etag", b"")
    is_strong = tag.startswith(b'"') and tag.isascii()
    return tag if is_strong and headers.get(b"accept-ranges", b"").strip().lower() == b"bytes" else None


def _url_of(source: WebSource) -> httpcore.URL:
    return httpcore.URL(
        scheme=source.scheme.encode(), host=source.host.encode(), port=source.port, target=source.target.encode()
    )


def _headers_of(answer: httpcore.Response) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in answer.headers}


def _too_large(source: WebSource, limits: FetchLimits) -> UploadTooLarge:
    return UploadTooLarge(
        f"{source} is larger than the {limits.max_bytes} bytes allowed; shorten the video or encode it smaller",
        max_bytes=limits.max_bytes,
    )


def _broken(error: Exception, num_bytes: int) -> str:
    """In our own words: the library's may hold the URL."""
    if isinstance(error, ssl.SSLError) or isinstance(error.__context__, ssl.SSLError):
        return "has no certificate that is believed here"
    if isinstance(error, httpcore.RemoteProtocolError):
        return f"broke off, or does not speak HTTP, after {num_bytes} bytes"
    return f"cannot be reached, or was lost after {num_bytes} bytes"
