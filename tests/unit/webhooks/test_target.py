"""Whom messages may be sent to, and that they are: a name is looked up once, and certificates are by that name."""

import asyncio
import logging
import ssl
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from fovea.errors import InvalidOption
from service.addresses.names import Names
from service.webhooks.message import Message
from service.webhooks.sender import Sender
from service.webhooks.target import TargetPolicy
from tests.receiver import Receiver, receiving

SECRET = "whsec_" + "c2VjcmV0" * 4


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of receiver.example, key and all."""
    folder = tmp_path_factory.mktemp("certificate")
    made = folder / "made.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=receiver.example "
        f"-addext subjectAltName=DNS:receiver.example -keyout {folder}/key.pem -out {folder}/cert.pem"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    made.write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return made


@pytest.fixture
def receiver(certificate: Path) -> Iterator[Receiver]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with receiving(tls=tls) as receiver:
        yield receiver


def sender(certificate: Path, lookups: list[str]) -> Sender:
    def lookup(name: str) -> list[str]:
        lookups.append(name)
        return ["127.0.0.1"]

    policy = TargetPolicy([ip_network("127.0.0.0/8")], names=Names(lookup))
    return Sender(policy, SECRET, timeout_s=20.0, tls=ssl.create_default_context(cafile=str(certificate)))


async def test_the_address_that_passed_is_connected_to_and_the_certificate_is_held_against_the_name(
    receiver: Receiver, certificate: Path
) -> None:
    lookups: list[str] = []
    port = receiver.url.split(":")[2].split("/")[0]
    message = Message("m1", f"https://receiver.example:{port}/hook?a=b", "{}", 0.0)
    attempt = await sender(certificate, lookups).send(message)
    assert (attempt.status, attempt.error) == (204, None)
    assert lookups == ["receiver.example"]
    (told,) = receiver.received
    assert (told.path, told.headers["host"]) == ("/hook?a=b", f"receiver.example:{port}")
    told.verified(SECRET)


async def test_a_certificate_of_another_name_is_believed_by_nobody(receiver: Receiver, certificate: Path) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    attempt = await sender(certificate, []).send(Message("m1", f"https://other.example:{port}/", "{}", 0.0))
    assert attempt.status is None
    assert "ConnectError" in str(attempt.error)
    await asyncio.sleep(0)
    assert receiver.received == []


def test_plain_http_is_allowed_by_a_setting_alone() -> None:
    with pytest.raises(InvalidOption, match="FOVEA_WEBHOOK_HTTP"):
        TargetPolicy().parse("http://receiver.example/")
    assert TargetPolicy(http=True).parse("http://receiver.example/").port == 80


async def test_nothing_that_is_logged_of_an_attempt_holds_the_token_of_the_url(
    receiver: Receiver, certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    with caplog.at_level(logging.INFO):
        message = Message("m1", f"https://receiver.example:{port}/hook?token=se-cret", "{}", 0.0)
        assert (await sender(certificate, []).send(message)).status == 204
    assert "se-cret" not in caplog.text


async def test_a_url_that_is_not_allowed_any_more_is_given_up_with_the_rule() -> None:
    policy = TargetPolicy([ip_network("127.0.0.0/8")])
    attempt = await Sender(policy, SECRET, timeout_s=5.0).send(Message("m1", "http://127.0.0.1/hook", "{}", 0.0))
    assert attempt.final
    assert "FOVEA_WEBHOOK_HTTP=true" in (attempt.error or "")
