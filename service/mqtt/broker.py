"""Where the broker is: its URL, parsed; shown without its password. Knows no socket."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Broker:
    """`str()` and `repr()` hold no password, and no user."""

    scheme: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> "Broker":
        """Raises ValueError, which shows nothing of the text."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("must read mqtt://host:1883, an IPv6 address in brackets") from None
        if parts.scheme not in DEFAULT_PORTS or not host or port == 0:
            raise ValueError("must be mqtt://user:password@host:1883, or mqtts:// for TLS")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError(
                "must end with the port: topics are FOVEA_MQTT_TOPIC's, and / ? # in a password are %2F %3F %23"
            )
        user, password = (None if one is None else unquote(one) for one in (parts.username, parts.password))
        return cls(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme], user or None, password)

    @property
    def is_encrypted(self) -> bool:
        return self.scheme == "mqtts"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{'***@' if self.user else ''}{host}:{self.port}"
