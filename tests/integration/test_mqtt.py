"""A broker hears what cameras show, and nobody waits for it. Against a real mosquitto."""

import asyncio
import gc
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.publish as once
import pytest

from service.metrics import Metrics
from service.mqtt.broker import Broker
from service.mqtt.publisher import MAX_RESULTS, Publisher
from service.mqtt.topics import Topics
from tests.mosquitto import Listener, Mosquitto, listening, mosquitto

TOPICS = Topics("fovea", "here", "homeassistant")
STREAM, MODEL = "str_1", "tiny"


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as running:
        yield running


@asynccontextmanager
async def publishing(url: str, metrics: Metrics | None = None, **more: Any) -> AsyncIterator[Publisher]:
    publisher = Publisher(Broker.parse(url), TOPICS, metrics or Metrics(), first_wait_s=0.1, **more)
    publisher.start()
    try:
        yield publisher
    finally:
        await publisher.close()


async def heard(listener: Listener, topic: str, text: str) -> None:
    await asyncio.to_thread(listener.wait_for, topic, lambda one: one.payload == text.encode())


async def connected(metrics: Metrics) -> None:
    give_up_s = time.monotonic() + 30
    while metrics.registry.get_sample_value("fovea_mqtt_up") != 1:
        assert time.monotonic() < give_up_s
        await asyncio.sleep(0.01)


def count(metrics: Metrics, outcome: str) -> float:
    return metrics.registry.get_sample_value("fovea_mqtt_messages_total", {"outcome": outcome}) or 0.0


async def test_states_are_kept_by_the_broker_and_results_are_not(broker: Mosquitto) -> None:
    metrics = Metrics()
    with listening(broker) as listener:
        async with publishing(broker.url(), metrics) as publisher:
            await connected(metrics)
            publisher.state(STREAM, "door", MODEL, "live")
            publisher.result("door", "wave")
            await heard(listener, "fovea/door/result", "wave")
            await heard(listener, "fovea/door/state", "live")
            await heard(listener, TOPICS.availability, "online")
            with listening(broker) as later:
                await heard(later, "fovea/door/state", "live")
                await heard(later, TOPICS.availability, "online")
                assert not [one for one in later.heard if one.topic == "fovea/door/result"]
                config = await asyncio.to_thread(later.wait_for, TOPICS.config(STREAM) or "")
                assert config.json["device"]["name"] == "door"
        await heard(listener, TOPICS.availability, "offline")


def test_a_process_that_is_killed_is_told_of_by_the_broker(broker: Mosquitto) -> None:
    program = (
        "import asyncio, sys\n"
        "from service.metrics import Metrics\n"
        "from service.mqtt.broker import Broker\n"
        "from service.mqtt.publisher import Publisher\n"
        "from service.mqtt.topics import Topics\n"
        "async def main():\n"
        "    publisher = Publisher(Broker.parse(sys.argv[1]), Topics('fovea', 'here'), Metrics())\n"
        "    publisher.start()\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with listening(broker) as listener, subprocess.Popen([sys.executable, "-c", program, broker.url()]) as process:
        listener.wait_for(TOPICS.availability, lambda one: one.payload == b"online")
        process.kill()
        listener.wait_for(TOPICS.availability, lambda one: one.payload == b"offline")


async def test_what_the_broker_says_in_its_place_is_put_right(broker: Mosquitto) -> None:
    """The will of a connection that is given up late, of this process before it was started again."""
    with listening(broker) as listener:
        async with publishing(broker.url()):
            await heard(listener, TOPICS.availability, "online")
            del listener.heard[:]
            await asyncio.to_thread(once.single, TOPICS.availability, "offline", 1, True, "127.0.0.1", broker.port)
            await heard(listener, TOPICS.availability, "online")


async def test_leaving_ends_though_the_broker_answers_at_the_same_moment(broker: Mosquitto) -> None:
    """An answer that comes together with the cancellation may swallow it."""
    with listening(broker) as listener:
        for _ in range(20):
            async with asyncio.timeout(30), publishing(broker.url()):
                del listener.heard[:]
                await asyncio.to_thread(once.single, TOPICS.availability, "offline", 1, True, "127.0.0.1", broker.port)
                await heard(listener, TOPICS.availability, "online")


async def test_after_the_broker_was_away_it_has_the_states_that_hold_now_and_no_old_results(broker: Mosquitto) -> None:
    metrics = Metrics()
    async with publishing(broker.url(), metrics) as publisher:
        await connected(metrics)
        publisher.state(STREAM, "door", MODEL, "live")
        publisher.state("str_2", "yard", MODEL, "live")
        publisher.state("str_3", "gone", MODEL, "live")
        broker.kill()  # and forgets all that it kept
        while metrics.registry.get_sample_value("fovea_mqtt_up") == 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        publisher.state(STREAM, "door", MODEL, "reconnecting")
        publisher.result("door", "old")
        publisher.end("str_2", "yard", "deleted")
        publisher.ask_whose(lambda stream: stream != "str_3")  # another process watches it by now
        assert count(metrics, "dropped") >= 1
        broker.start()
        with listening(broker) as listener:
            await heard(listener, "fovea/door/state", "reconnecting")
            await heard(listener, TOPICS.availability, "online")
            publisher.result("door", "new")
            await heard(listener, "fovea/door/result", "new")
            told = {(one.topic, one.payload) for one in listener.heard}
        assert ("fovea/door/result", b"old") not in told
        assert not [topic for topic, payload in told if "gone" in topic or ("yard" in topic and payload)]


async def test_a_stream_that_is_deleted_is_heard_of_once_and_nothing_is_kept_of_it(broker: Mosquitto) -> None:
    metrics = Metrics()
    with listening(broker) as listener:
        async with publishing(broker.url(), metrics) as publisher:
            await connected(metrics)
            publisher.state(STREAM, "door", MODEL, "live")
            await heard(listener, "fovea/door/state", "live")
            publisher.end(STREAM, "door", "deleted")
            await heard(listener, "fovea/door/state", "deleted")
            await heard(listener, "fovea/door/state", "")
            await heard(listener, TOPICS.config(STREAM) or "", "")
        with listening(broker) as later:
            await heard(later, TOPICS.availability, "offline")
            assert [one.topic for one in later.heard] == [TOPICS.availability]


async def test_a_broker_that_hangs_keeps_nobody_waiting_and_no_more_than_so_many_results(broker: Mosquitto) -> None:
    metrics = Metrics()
    async with publishing(broker.url(), metrics) as publisher:
        await connected(metrics)
        await asyncio.sleep(0.1)
        broker.pause()
        publisher.state(STREAM, "door", MODEL, "live")  # whose arrival it has to confirm
        await asyncio.sleep(0.1)
        for number in range(3 * MAX_RESULTS):
            publisher.result("door", str(number))
        assert count(metrics, "dropped") >= MAX_RESULTS
        broker.resume()
        with listening(broker) as listener:
            publisher.state(STREAM, "door", MODEL, "reconnecting")
            await heard(listener, "fovea/door/state", "reconnecting")


async def test_without_a_broker_nothing_is_waited_for_not_even_at_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unheard:
        url = f"mqtt://127.0.0.1:{unheard.getsockname()[1]}"
    metrics = Metrics()
    async with asyncio.timeout(30), publishing(url, metrics) as publisher:
        publisher.state(STREAM, "door", MODEL, "live")
        publisher.result("door", "wave")
        await asyncio.sleep(0.3)
    assert count(metrics, "dropped") == 1


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that asks for a password."""
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", passwords, "desk", "s3cret!"], check=True, capture_output=True)
    with mosquitto(f"allow_anonymous false\npassword_file {passwords}") as running:
        yield running


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    give_up_s = time.monotonic() + 30
    while text not in caplog.text:
        assert time.monotonic() < give_up_s, caplog.text
        await asyncio.sleep(0.01)


async def test_a_password_is_given_and_never_logged(guarded: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with listening(guarded, "desk", "s3cret!") as listener:
        async with publishing(guarded.url("desk:wrong")):
            await logged(caplog, "is away")
        async with publishing(guarded.url("desk:s3cret%21")):
            await heard(listener, TOPICS.availability, "online")
    assert "not authori" in caplog.text.lower()
    assert "***@127.0.0.1" in caplog.text
    for secret in ("s3cret", "wrong"):
        assert secret not in caplog.text


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    made = tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key.pem", "-out", made,
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return made


async def test_a_file_of_authorities_that_is_missing_is_told_and_taken_up_once_it_is_there(
    certificate: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    later, metrics = tmp_path / "later.pem", Metrics()
    with mosquitto(
        f"allow_anonymous true\ncertfile {certificate}\nkeyfile {certificate.with_name('key.pem')}"
    ) as broker:
        async with publishing(broker.url(scheme="mqtts", host="localhost"), metrics, ca_file=later):
            await logged(caplog, "No such file")
            await asyncio.to_thread(shutil.copy, certificate, later)
            await connected(metrics)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho's socket, where TLS fails
async def test_tls_believes_a_known_authority_alone(certificate: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = certificate.with_name("key.pem")
    with mosquitto(f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}") as broker:
        url = broker.url(scheme="mqtts", host="localhost")
        async with publishing(url):
            await logged(caplog, "is away")
        assert "certificate" in caplog.text.lower()
        metrics = Metrics()
        async with publishing(url, metrics, ca_file=certificate) as publisher:
            await connected(metrics)
            publisher.state(STREAM, "door", MODEL, json.dumps({"state": "live", "note": "x" * 100_000}))
            give_up_s = time.monotonic() + 30
            while count(metrics, "sent") < 2:
                assert time.monotonic() < give_up_s
                await asyncio.sleep(0.01)
    gc.collect()
