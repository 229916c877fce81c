"""Where no camera is, or none should be looked for: special addresses of IPv4 and IPv6, and this machine's own.

Knows no camera.

Sources: the IANA special-purpose address registries (RFC 6890 and what followed); for metadata services the
documentation of each provider.
"""

import contextlib
import ipaddress
import socket
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA = "a cloud's own services"

# Addresses that carry one of IPv4 in them, and are judged by that: mapped (RFC 4291) and NAT64 (RFC 6052).
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this machine"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local, where clouds answer a machine's own questions"),
        ("100.64.0.0/10", "a provider's shared addresses (RFC 6598)"),
        ("192.0.0.0/24", "protocol assignments (RFC 6890)"),
        ("192.88.99.0/24", "6to4 relays (RFC 7526)"),
        ("198.18.0.0/15", "a benchmark's network (RFC 2544)"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("168.63.129.16/32", METADATA),  # Azure's WireServer
        ("::/128", "this machine"),
        ("::1/128", "loopback"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local (RFC 3879)"),
        ("ff00::/8", "multicast"),
        ("2001::/32", "Teredo (RFC 4380)"),
        ("2002::/16", "6to4 (RFC 7526)"),
        ("64:ff9b:1::/48", "a translator's own prefix (RFC 8215)"),
        ("fd00:ec2::/32", METADATA),  # Amazon: metadata ::254, time, DNS, pod identity
        ("fd20:ce::/64", METADATA),  # Google: metadata ::254
        ("fd00:c1::/64", METADATA),  # Oracle: metadata ::a9fe:a9fe
        ("fd00:42::/64", METADATA),  # Scaleway: metadata ::42
        ("fd00:a9fe:a9fe::/64", METADATA),  # Akamai (Linode): metadata ::1
        ("fd00:100::100:200/128", METADATA),  # Alibaba
    )
)
_PRIVATE = tuple(
    ipaddress.ip_network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)


def bare(address: Address) -> Address:
    """The IPv4 address that is meant where it is wrapped in one of IPv6."""
    if isinstance(address, ipaddress.IPv6Address) and (address in _MAPPED or address in _NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def why_special(address: Address) -> str | None:
    """What a bare address is for, where that is no camera; None else."""
    for network, reason in _REFUSED:
        if address in network:
            return reason
    return "reserved" if address.is_reserved else None


def is_private(address: Address) -> bool:
    """Of an organisation's own network, RFC 1918 and RFC 4193."""
    return any(address in network for network in _PRIVATE)


def is_own(address: Address) -> bool:
    """Whether this machine has it: then the system would send from it what is sent to it. Nothing is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((str(address), 9))
        return ipaddress.ip_address(probe.getsockname()[0].partition("%")[0]) == address
    return False
