"""A real broker of MQTT for tests, which can be killed, paused and started again, and somebody who listens to it.

Knows nothing of Fovea.
"""

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from tests.conftest import require
from tests.server_process import ServerProcess, free_port

PROGRAM = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PATIENCE_S = 40.0


class Mosquitto(ServerProcess):
    """`config`: further lines of its configuration; retained messages are forgotten when it is killed."""

    def __init__(self, folder: Path, port: int, config: str = "allow_anonymous true") -> None:
        assert PROGRAM is not None
        file = folder / "mosquitto.conf"
        file.write_text(f"listener {port} 127.0.0.1\n{config}\nuser root\n")
        super().__init__([PROGRAM, "-c", file], port, folder / "log")

    def url(self, credentials: str = "", scheme: str = "mqtt", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{credentials + '@' if credentials else ''}{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Heard:
    topic: str
    payload: bytes
    retained: bool

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


@dataclass
class Listener:
    """Hears everything under `#`, in order."""

    heard: list[Heard] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def add(self, one: Heard) -> None:
        with self._news:
            self.heard.append(one)
            self._news.notify_all()

    def wait_for(self, topic: str, check: Callable[[Heard], bool] = lambda one: True) -> Heard:
        """The first message of `topic` that passes the check, now or later."""
        give_up_s = time.monotonic() + PATIENCE_S
        with self._news:
            while True:
                for one in self.heard:
                    if one.topic == topic and check(one):
                        return one
                left_s = give_up_s - time.monotonic()
                assert left_s > 0, f"nothing of {topic} among {[(one.topic, one.payload[:80]) for one in self.heard]}"
                self._news.wait(left_s)


@contextmanager
def mosquitto(config: str = "allow_anonymous true") -> Iterator[Mosquitto]:
    require(PROGRAM is not None, "mosquitto (Debian package `mosquitto`)")
    with tempfile.TemporaryDirectory(prefix="fovea-mqtt-") as folder:
        broker = Mosquitto(Path(folder), free_port(), config)
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()


@contextmanager
def listening(broker: Mosquitto, user: str | None = None, password: str | None = None) -> Iterator[Listener]:
    """Hears what is retained, too."""
    listener, subscribed = Listener(), threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_message = lambda client, data, message: listener.add(
        Heard(message.topic, message.payload, bool(message.retain))
    )
    client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    if user is not None:
        client.username_pw_set(user, password)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        assert subscribed.wait(10)
        yield listener
    finally:
        client.disconnect()
        client.loop_stop()
