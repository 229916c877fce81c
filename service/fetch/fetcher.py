"""A video by its URL, at the service's conditions. Knows no request and no video."""

import logging
import ssl
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

from fovea.errors import InvalidOption
from service.addresses.policy import AddressPolicy
from service.fetch.arrival import EndWanted, Piece, not_wanted
from service.fetch.objects import fetch_object
from service.fetch.source import S3Source, parse_source
from service.fetch.web import FetchLimits, fetch_web

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fetcher:
    """`http`: whether plain http is fetched, too; `buckets`: of S3, none unless named."""

    policy: AddressPolicy
    limits: FetchLimits
    http: bool = False
    buckets: Collection[str] = ()
    ca_file: Path | None = None
    _contexts: list[ssl.SSLContext] = field(default_factory=list, repr=False)

    def within(self, *, max_bytes: int, timeout_s: float) -> "Fetcher":
        """The same, for a request that may take more, or less."""
        return replace(self, limits=replace(self.limits, max_bytes=max_bytes, timeout_s=timeout_s))

    def check(self, url: str) -> None:
        """What can be said before anything is asked. Raises InvalidOption."""
        source = parse_source(url)
        if not isinstance(source, S3Source) and source.scheme == "http" and not self.http:
            raise InvalidOption(
                "url: plain http is not fetched here, anybody on the way could change the video; use https, or have "
                "the operator set FOVEA_URL_HTTP=true",
                option="url",
            )

    async def fetch(self, url: str, end_wanted: EndWanted = not_wanted) -> AsyncGenerator[Piece, None]:
        """The bytes, front to back but for an end that is wanted first.

        Raises InvalidOption, UrlNotFetched, UploadTooLarge.
        """
        self.check(url)
        source = parse_source(url)
        log.info("fetching %s", source)
        if isinstance(source, S3Source):
            pieces = fetch_object(
                source,
                self.buckets,
                max_bytes=self.limits.max_bytes,
                timeout_s=self.limits.timeout_s,
                end_wanted=end_wanted,
            )
        else:
            pieces = fetch_web(source, self.policy, self.limits, self._context(), end_wanted)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    def _context(self) -> ssl.SSLContext:
        """Made once: reading the system's authorities takes its time."""
        if not self._contexts:
            context = ssl.create_default_context()
            if self.ca_file is not None:
                context.load_verify_locations(self.ca_file)
            self._contexts.append(context)
        return self._contexts[0]
