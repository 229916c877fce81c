"""A receiver's URL: parsed, told without its secrets, and its address held against the policy. Knows no message.

The name is resolved once for each attempt, and the address that passed is what gets connected to.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fovea.errors import InvalidOption
from service.addresses.names import Names
from service.addresses.networks import Network
from service.addresses.policy import AddressPolicy, refusal

MAX_URL = 2048
RESOLVE_S = 5.0
PORTS = {"https": 443, "http": 80}


class TargetRefused(Exception):
    """It may not be connected to, however often it is tried."""


class TargetUnknown(Exception):
    """Its name does not resolve at the moment."""


@dataclass(frozen=True, slots=True)
class Target:
    """`url` often holds a token: `repr` does not show it."""

    scheme: str
    host: str
    port: int
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """Which receivers may be told. Loopback, private and special addresses are refused unless in `allowed`."""

    allowed: Sequence[Network] = ()
    http: bool = False  # without TLS
    names: Names = field(default_factory=Names, repr=False)

    def parse(self, url: str) -> Target:
        """Raises InvalidOption, which shows no secret."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _invalid("its host or port cannot be; write https://host/path") from None
        schemes = ("https", "http") if self.http else ("https",)
        if parts.scheme not in schemes:
            hint = "" if self.http else "; FOVEA_WEBHOOK_HTTP=true allows http, too"
            raise _invalid(f"it must begin with {' or '.join(f'{one}://' for one in schemes)}{hint}")
        if not parts.hostname or not url.isascii() or not url.isprintable() or " " in url or len(url) > MAX_URL:
            raise _invalid(f"it must be https://host/path, in ASCII without blanks, of {MAX_URL} characters at most")
        if parts.username is not None or parts.fragment:
            raise _invalid("it must hold neither a user nor a fragment (#); messages are signed instead")
        return Target(parts.scheme, parts.hostname, port or PORTS[parts.scheme], url)

    async def resolve(self, target: Target) -> str:
        """The address to connect to. Raises TargetRefused, TargetUnknown."""
        try:
            texts = await self.names.addresses(target.host, RESOLVE_S)
        except (TimeoutError, OSError, UnicodeError):
            raise TargetUnknown(f"the name {target.host} does not resolve") from None
        judge = AddressPolicy(self.allowed, private=False)
        objections = {}
        for text in texts:
            address = ipaddress.ip_address(text.partition("%")[0])
            objection = judge.objection(address)
            if objection is None:
                return str(address)
            objections[str(address)] = objection
        raise TargetRefused(refusal(target.host, objections, "FOVEA_WEBHOOK_ALLOWED_NETWORKS"))

    async def check(self, url: str) -> None:
        """Before a message is promised. A name that does not resolve now may later. Raises InvalidOption."""
        target = self.parse(url)
        try:
            await self.resolve(target)
        except TargetRefused as error:
            raise _invalid(str(error)) from None
        except TargetUnknown:
            pass


def shown(url: str) -> str:
    """A receiver's URL for people: path and query often hold a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…"


def _invalid(rule: str) -> InvalidOption:
    return InvalidOption(f"webhook_url: {rule}", option="webhook_url")
