"""Where may be connected to at a stranger's word: addresses and ports. Knows no camera and no HTTP.

Names are resolved here, once per connection, and the answer is what gets connected to: a name that resolves to another
address a moment later (DNS rebinding) gains nothing.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fovea.words import ErrorClass
from service.addresses.names import Names, is_address
from service.addresses.networks import Address, Network, bare, is_own, is_private, why_special

CAMERA_PORTS = ((322, 322), (554, 554), (1024, 65535))
RESOLVE_S = 5.0


class Destination(Protocol):
    """What a URL says of where to connect."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...


class AddressRefused(Exception):
    """The name does not resolve, or to nothing that may be connected to."""

    def __init__(self, error_class: ErrorClass, detail: str) -> None:
        super().__init__(detail)
        self.error_class = error_class
        self.detail = detail


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which addresses and ports may be connected to. The defaults are those of cameras.

    Cameras live in private networks, so those are allowed where `private`. Special addresses (`networks.py`) and this
    machine's own are refused unless in `allowed`. `kind` and `prefix` are for the sentence of a refusal: what is looked
    for, and how the settings that could allow it begin.
    """

    allowed: Sequence[Network] = ()
    ports: tuple[tuple[int, int], ...] = CAMERA_PORTS  # first and last of each range
    private: bool = True  # without being in `allowed`
    kind: str = "cameras"
    prefix: str = "FOVEA_STREAM"
    names: Names = field(default_factory=Names, repr=False)

    def permits(self, address: Address) -> bool:
        return self.objection(address) is None

    def objection(self, address: Address) -> str | None:
        """Why it is refused, as what it is; None where it is not."""
        meant = bare(address)
        if any(one in network for network in self.allowed for one in (address, meant)):
            return None
        if (reason := why_special(meant)) is not None:
            return reason
        if not self.private and is_private(meant):
            return "a private network, which has to be named where the service listens beyond loopback"
        return "this machine's own" if is_own(meant) else None

    async def resolve(self, url: Destination) -> str:
        """The address to connect to. Raises AddressRefused."""
        if not any(first <= url.port <= last for first, last in self.ports):
            raise AddressRefused(
                ErrorClass.ADDRESS,
                f"port {url.port} is refused: {self.kind} are looked for at {_listed(self.ports)}; {self.prefix}_PORTS "
                "can allow it",
            )
        try:
            texts = await self.names.addresses(url.host, RESOLVE_S)
        except TimeoutError:
            raise AddressRefused(
                ErrorClass.DNS, f"the name {url.host} does not resolve: nobody answered within {RESOLVE_S:g} s"
            ) from None
        except (OSError, UnicodeError):
            raise AddressRefused(ErrorClass.DNS, f"the name {url.host} does not resolve") from None
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in texts]
        objections = {str(address): self.objection(address) for address in addresses}
        for address, objection in objections.items():
            if objection is None:
                return address
        raise AddressRefused(ErrorClass.ADDRESS, refusal(url.host, objections, f"{self.prefix}_ALLOWED_NETWORKS"))


def refusal(host: str, objections: Mapping[str, str | None], setting: str) -> str:
    """Why nothing at `host` may be connected to. `objections`: what each of its addresses is."""
    told = ", ".join(f"{address} ({objection})" for address, objection in sorted(objections.items()))
    if is_address(host):
        return f"the address {told} is refused; {setting} can allow it"
    refused = "which is refused" if len(objections) == 1 else "which are all refused"
    return f"the name {host} leads to {told}, {refused}; {setting} can allow it"


def _listed(ports: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ports)
