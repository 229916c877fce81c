"""A camera's URL: parsed, redacted, and with an address in place of its name. Knows no camera and no libav."""

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from fovea.errors import InvalidOption

DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_SECRET_KEY = re.compile(
    r"(?:^|[_-])(?:user|usr|username|login|pass|passwd|password|pwd|psw|token|auth|key|secret)$", re.I
)
_SECRET_IN_PATH = re.compile(r"((?:user|pass\w*|pwd|psw|token|auth|secret)=)[^/&]*?(?=_\w+=|[/&]|$)", re.I)


@dataclass(frozen=True, slots=True)
class CameraUrl:
    """`str()` is redacted; `pinned()` alone holds the credentials."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)  # from the first slash on, with the query
    userinfo: str = field(default="", repr=False)  # "user:password", percent-encoded

    @classmethod
    def parse(cls, text: str) -> "CameraUrl":
        """Raises InvalidOption, which never shows what could be a password."""
        scheme, colon, rest = text.partition(":")
        if scheme.lower() not in DEFAULT_PORTS or not colon:
            shown = f"a URL of scheme {scheme.lower()!r}" if re.fullmatch(r"[A-Za-z][\w+.-]{0,15}", scheme) else "that"
            raise _invalid(f"{shown} is no camera's; give rtsp://host/path or rtsps://host/path")
        if not rest.startswith("//") or not text.isascii() or not text.isprintable() or " " in text:
            raise _invalid("it must read rtsp://host/path, in ASCII without blanks; percent-encode everything else")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise _invalid(
                "its host or port cannot be; write rtsp://host:554/path, an IPv6 address in brackets"
            ) from None
        userinfo, _, _ = parts.netloc.rpartition("@")
        host = parts.hostname or ""
        if not _HOST.fullmatch(host):
            raise _invalid("it names no host; write rtsp://host/path, and percent-encode @ and / in a password")
        if parts.fragment or port == 0:
            raise _invalid("it has a fragment (#) or port 0; write rtsp://host:554/path and percent-encode a # as %23")
        for pair in parts.query.split("&"):
            if _SECRET_KEY.search(pair.partition("=")[0]):
                raise _invalid("its query holds credentials; put them before the host: rtsp://user:password@host/path")
        scheme = parts.scheme.lower()
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(scheme, host.lower(), port or DEFAULT_PORTS[scheme], path, _encoded(userinfo))

    def __str__(self) -> str:
        path, _, query = self.path.partition("?")
        path = _SECRET_IN_PATH.sub(r"\1***", path)
        keys = "&".join(pair.partition("=")[0] + "=***" * ("=" in pair) for pair in query.split("&")) if query else ""
        credentials = "***@" if self.userinfo else ""
        return f"{self.scheme}://{credentials}{_in_url(self.host)}:{self.port}{path}{'?' + keys if keys else ''}"

    def pinned(self, address: str) -> str:
        """The URL that libav opens: with credentials, and the address in place of the name."""
        return (
            f"{self.scheme}://{self.userinfo + '@' if self.userinfo else ''}{_in_url(address)}:{self.port}{self.path}"
        )

    def whole(self) -> str:
        """What `parse` was given, near enough; with credentials."""
        return self.pinned(self.host)


def _encoded(userinfo: str) -> str:
    """Percent-encoded once, whatever it was before: libav cuts at the first @ or :."""
    user, colon, password = userinfo.partition(":")
    return quote(unquote(user), safe="") + (":" + quote(unquote(password), safe="") if colon else "")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _invalid(rule: str) -> InvalidOption:
    return InvalidOption(f"url: {rule}", option="url")
