"""Where a video is: an address of HTTP, or an object of S3. Parsed, and shown without secrets. Knows no policy."""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urljoin, urlsplit

from fovea.errors import InvalidOption

PORTS = {"https": 443, "http": 80}
MAX_URL = 4096  # presigned ones are long

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class WebSource:
    """`str()` shows neither user nor password, and of the query nothing: a presigned one is a password."""

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)  # from the first slash on, with the query
    userinfo: str = field(default="", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        path, query, _ = self.target.partition("?")
        return f"{self.scheme}://{host}{port}{path}{'?***' if query else ''}"

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def headers(self) -> dict[str, str]:
        """Credentials, where the URL held some."""
        if not self.userinfo:
            return {}
        return {"Authorization": "Basic " + b64encode(unquote(self.userinfo).encode()).decode()}

    def followed(self, location: str) -> "WebSource":
        """Where a redirect leads. Raises InvalidOption where that is no address of a video.

        Credentials go along within one origin alone, and never from https to http.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        try:
            leads_to = parse_source(urljoin(f"{self.scheme}://{host}:{self.port}{self.target}", location))
        except ValueError:
            raise _invalid("it redirects to what is no address") from None
        if not isinstance(leads_to, WebSource):
            raise _invalid("it redirects away from HTTP")
        if self.scheme == "https" and leads_to.scheme == "http":
            raise _invalid("it redirects from https to http")
        if leads_to.origin == self.origin and not leads_to.userinfo:
            return WebSource(*leads_to.origin, leads_to.target, self.userinfo)
        return leads_to


@dataclass(frozen=True, slots=True)
class S3Source:
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def parse_source(text: str) -> WebSource | S3Source:
    """Raises InvalidOption, which shows nothing of the URL that could be a password."""
    if len(text) > MAX_URL:
        raise _invalid(f"it is longer than {MAX_URL} characters")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise _invalid("it must be ASCII without blanks; percent-encode everything else")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _invalid("its host or port cannot be; write https://host:443/path") from None
    scheme = parts.scheme.lower()
    if scheme == "s3":
        key = unquote(parts.path.removeprefix("/"))
        if not _BUCKET.fullmatch(parts.netloc) or not key or parts.query or parts.fragment:
            raise _invalid("an object of S3 reads s3://bucket/key, without a query")
        return S3Source(parts.netloc, key)
    if scheme not in PORTS or not text[len(scheme) :].startswith("://"):
        shown = f"a URL of scheme {scheme!r}" if re.fullmatch(r"[a-z][a-z0-9+.-]{0,15}", scheme) else "that"
        raise _invalid(f"{shown} is not fetched here; give https://host/path or s3://bucket/key")
    host = (parts.hostname or "").lower()
    if not _HOST.fullmatch(host) or port == 0:
        raise _invalid("it names no host; write https://host/path")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (f"?{parts.query}" if parts.query else "")
    return WebSource(scheme, host, port or PORTS[scheme], target, parts.netloc.rpartition("@")[0])


def _invalid(rule: str) -> InvalidOption:
    return InvalidOption(f"url: {rule}", option="url")
