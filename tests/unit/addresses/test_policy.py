"""Which addresses may be connected to, however they are written or named."""

import ipaddress
import socket
from typing import cast

import pytest

from fovea.words import ErrorClass
from service.addresses.names import Names
from service.addresses.policy import AddressPolicy, AddressRefused, refusal
from service.streams.address import CameraUrl

PUBLIC_AND_PRIVATE = ["192.168.1.20", "10.0.0.5", "172.16.3.4", "93.184.216.34", "fd12:3456::1", "2001:4860::8888"]
REFUSED = [
    "127.0.0.1", "127.8.9.10", "::1", "0.0.0.0", "::", "169.254.169.254", "169.254.1.1", "fe80::1", "224.0.0.1",
    "ff02::1", "255.255.255.255", "240.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:c0a8:101::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "::ffff:168.63.129.16", "64:ff9b::6440:1", "::ffff:0:127.0.0.1", "::127.0.0.1", "fec0::1", "0.1.2.3",
    "168.63.129.16", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42",
    "fd00:a9fe:a9fe::1", "fd00:100::100:200", "100.100.100.200", "192.0.0.192",
    "100.64.0.1", "100.127.255.254", "198.18.0.1", "198.19.255.1", "192.0.0.1", "192.0.0.170",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC_AND_PRIVATE)
def test_private_and_public_addresses_are_permitted(address: str) -> None:
    assert AddressPolicy().permits(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_where_no_camera_lives_are_refused_however_they_are_written(address: str) -> None:
    assert not AddressPolicy().permits(ipaddress.ip_address(address))


def test_a_network_can_be_allowed() -> None:
    policy = AddressPolicy([cast(ipaddress.IPv4Network, ipaddress.ip_network("127.0.0.0/8"))])
    assert policy.permits(ipaddress.ip_address("127.0.0.1"))
    assert not policy.permits(ipaddress.ip_address("169.254.169.254"))


def test_this_machines_own_addresses_are_refused_unless_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback's")
        own = probe.getsockname()[0]
    assert AddressPolicy().objection(ipaddress.ip_address(own)) == "this machine's own"
    assert not AddressPolicy().permits(ipaddress.ip_address(f"::ffff:{own}"))
    assert AddressPolicy([ipaddress.ip_network(own)]).permits(ipaddress.ip_address(own))


@pytest.mark.parametrize("address", ["10.0.0.5", "172.31.3.4", "192.168.1.20", "fd12:3456::1", "64:ff9b::a00:5"])
def test_private_networks_can_be_refused_unless_named(address: str) -> None:
    one = ipaddress.ip_address(address)
    assert AddressPolicy().permits(one)
    assert not AddressPolicy(private=False).permits(one)
    assert AddressPolicy([ipaddress.ip_network(address)], private=False).permits(one)
    assert AddressPolicy(private=False).permits(ipaddress.ip_address("93.184.216.34"))


@pytest.mark.parametrize(("port", "permitted"), [(554, True), (322, True), (8554, True), (1024, True), (65535, True),
                                                 (22, False), (80, False), (443, False), (1023, False)])  # fmt: skip
async def test_ports_where_no_camera_is_are_refused_before_anything_is_looked_up(port: int, permitted: bool) -> None:
    looked_up: list[str] = []

    def lookup(name: str) -> list[str]:
        looked_up.append(name)
        return ["93.184.216.34"]

    policy, url = AddressPolicy(names=Names(lookup)), CameraUrl.parse(f"rtsp://camera:{port}/x")
    if permitted:
        assert await policy.resolve(url) == "93.184.216.34"
        return
    with pytest.raises(AddressRefused, match=rf"port {port} is refused.*1024-65535; FOVEA_STREAM_PORTS") as caught:
        await policy.resolve(url)
    assert caught.value.error_class is ErrorClass.ADDRESS
    assert looked_up == []


async def test_of_several_addresses_the_first_that_is_permitted_is_connected_to() -> None:
    policy = AddressPolicy(names=Names(lambda name: ["169.254.169.254", "fd20:ce::254", "93.184.216.34"]))
    assert await policy.resolve(CameraUrl.parse("rtsp://camera/x")) == "93.184.216.34"


async def test_a_refusal_says_what_each_address_is_for() -> None:
    policy = AddressPolicy(names=Names(lambda name: ["168.63.129.16", "10.0.0.5"]), private=False)
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.5 \(a private network.*168\.63\.129\.16 \(a cloud's"):
        await policy.resolve(CameraUrl.parse("rtsp://camera/x"))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0x7f000001", "127.1", "2130706433"])
async def test_a_name_or_an_odd_spelling_of_a_refused_address_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused) as caught:
        await AddressPolicy().resolve(CameraUrl.parse(f"rtsp://{host}/x"))
    assert caught.value.error_class in {ErrorClass.ADDRESS, ErrorClass.DNS}


async def test_an_allowed_name_resolves_to_the_address_that_is_connected_to() -> None:
    policy = AddressPolicy([ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")])
    assert await policy.resolve(CameraUrl.parse("rtsp://localhost/x")) in {"127.0.0.1", "::1"}


async def test_a_name_that_does_not_resolve_says_so() -> None:
    with pytest.raises(AddressRefused) as caught:
        await AddressPolicy().resolve(CameraUrl.parse("rtsp://me:secret@camera.invalid/x"))
    assert caught.value.error_class is ErrorClass.DNS
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize(
    ("host", "addresses", "sentence"),
    [
        ("127.0.0.1", ["127.0.0.1"], "the address 127.0.0.1 (loopback) is refused; "),
        ("::1", ["::1"], "the address ::1 (loopback) is refused; "),
        ("camera", ["127.0.0.1"], "the name camera leads to 127.0.0.1 (loopback), which is refused; "),
        (
            "camera",
            ["::1", "224.0.0.1"],
            "the name camera leads to 224.0.0.1 (multicast), ::1 (loopback), which are all refused; ",
        ),
    ],
)
def test_a_refusal_says_what_was_asked_for_what_it_is_and_what_can_allow_it(
    host: str, addresses: list[str], sentence: str
) -> None:
    policy = AddressPolicy()
    objections = {address: policy.objection(ipaddress.ip_address(address)) for address in addresses}
    assert refusal(host, objections, "A_SETTING") == sentence + "A_SETTING can allow it"
