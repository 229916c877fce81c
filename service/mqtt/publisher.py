"""Tells a broker what cameras show. Nobody waits for it: while the broker is away, states are kept, results are not.

Knows no camera: what it is told is text. aiomqtt is an extra: this module is imported where there is a broker alone.
"""

import asyncio
import contextlib
import logging
import random
import secrets
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiomqtt import Client, MqttError, Will

from service.metrics import Metrics
from service.mqtt.broker import Broker
from service.mqtt.topics import OFFLINE, ONLINE, Topics

log = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
KEEPALIVE_S = 30  # half as long again, and the broker says that we are gone
ANSWER_S = 10.0
MAX_RESULTS = 256  # that wait for a slow broker
LAST_WORDS_S = 3.0


@dataclass(frozen=True, slots=True)
class Retained:
    """What the broker is to hold of a topic; an empty payload: nothing any more."""

    stream: str
    payload: bytes


class Publisher:
    """`first_wait_s`: before it asks again; twice as long each time, a minute at most. `ca_file`: whom to believe."""

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        metrics: Metrics,
        *,
        ca_file: Path | None = None,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._metrics = metrics
        self._ca_file = ca_file
        self._first_wait_s = first_wait_s
        self._identifier = f"fovea-{secrets.token_hex(8)}"
        self._is_ours: Callable[[str], bool] = lambda stream: True
        self._retained: dict[str, Retained] = {}  # by topic, of the streams that this process watches
        self._unsent: dict[str, None] = {}  # topics among those, in the order in which they changed
        self._results: deque[tuple[str, bytes]] = deque()
        self._is_connected = False
        self._is_closing = False
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        metrics.mqtt_up.set(0)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def ask_whose(self, is_ours: Callable[[str], bool]) -> None:
        """`is_ours`: whether this process watches the stream still. A broker that comes back is told of no other."""
        self._is_ours = is_ours

    async def close(self) -> None:
        """Say what is still to be said, then that this process is gone; a broker that is away is not waited for."""
        if self._task is None:
            return
        if self._is_connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._idle.wait()
        self._is_closing = True
        await _end(self._task, again_s=2 * LAST_WORDS_S + 1)  # leave to say the last words and to disconnect

    # -- what there is to tell: nothing here waits

    def state(self, stream: str, camera: str, model: str, text: str) -> None:
        """Where the camera stands; the broker keeps it for those who come later."""
        self._keep(self._topics.state(camera), Retained(stream, text.encode()))
        config = self._topics.config(stream)
        if config is not None:
            self._keep(config, Retained(stream, self._topics.device(stream, camera, model)))

    def result(self, camera: str, text: str) -> None:
        """What a window showed; dropped where the broker is away, or further behind than it may be."""
        if not self._is_connected:
            self._count("dropped")
            return
        if len(self._results) == MAX_RESULTS:
            self._results.popleft()
            self._count("dropped")
        self._results.append((self._topics.result(camera), text.encode()))
        self._tell()

    def end(self, stream: str, camera: str, text: str) -> None:
        """The stream is deleted: whoever listens hears it, and the broker keeps nothing of it."""
        if self._is_connected:
            self._results.append((self._topics.state(camera), text.encode()))
        for topic in (self._topics.state(camera), self._topics.config(stream)):
            if topic is not None:
                self._keep(topic, Retained(stream, b""))

    def _keep(self, topic: str, said: Retained) -> None:
        if self._retained.get(topic) != said:
            self._retained[topic] = said
            self._unsent[topic] = None
            self._tell()

    def _tell(self) -> None:
        self._idle.clear()
        self._news.set()

    def _count(self, outcome: str) -> None:
        self._metrics.mqtt_messages_total.labels(outcome=outcome).inc()

    # -- the connection

    async def _run(self) -> None:
        wait_s, told = self._first_wait_s, False
        tls: ssl.SSLContext | None = None
        while True:
            try:
                tls = tls or await asyncio.to_thread(self._tls)  # its file may be missing, or no certificate
                async with self._client(tls) as client:
                    wait_s, told = self._first_wait_s, False
                    if not self._is_closing:
                        await self._talk(client)
            except MqttError as error:
                if not told and not self._is_closing:  # once, however long it is away
                    log.warning("the broker %s is away: %s; trying again", self._broker, str(error))
                told = True
            except Exception:  # the task's edge: cameras go on without it
                log.exception("telling the broker %s failed; trying again", self._broker)
            if self._is_closing:  # an error on the way out takes the cancellation's place
                return
            await asyncio.sleep(wait_s * random.uniform(0.7, 1.0))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _tls(self) -> ssl.SSLContext | None:
        if not self._broker.is_encrypted:
            return None
        context = ssl.create_default_context()
        if self._ca_file is not None:
            context.load_verify_locations(self._ca_file)
        return context

    def _client(self, tls: ssl.SSLContext | None) -> Client:
        return Client(
            self._broker.host,
            self._broker.port,
            username=self._broker.user,
            password=self._broker.password,
            tls_context=tls,
            identifier=self._identifier,
            keepalive=KEEPALIVE_S,
            timeout=ANSWER_S,
            will=Will(self._topics.availability, OFFLINE, qos=1, retain=True),
        )

    async def _talk(self, client: Client) -> None:
        """Until the connection is lost. Raises MqttError then."""
        log.info("the broker %s is told what cameras show", self._broker)
        for topic, said in list(self._retained.items()):
            if said.payload and not self._is_ours(said.stream):  # another watches it by now, and tells
                del self._retained[topic]
        self._unsent = dict.fromkeys(self._retained)
        listening = asyncio.create_task(self._listen(client))
        sending = asyncio.create_task(self._send_all(client))
        self._is_connected = True
        self._metrics.mqtt_up.set(1)
        self._tell()
        try:
            await asyncio.wait({listening, sending}, return_when=asyncio.FIRST_COMPLETED)
            for ended in (listening, sending):
                if ended.done():
                    ended.result()
        finally:
            self._is_connected = False
            self._metrics.mqtt_up.set(0)
            for _ in self._results:
                self._count("dropped")
            self._results.clear()
            lost = listening.done() or sending.done()
            await _end(listening, sending, again_s=0.1)
            if not lost:  # the way out: a broker that is taken leave of says nothing in our place
                client.timeout = LAST_WORDS_S
                with contextlib.suppress(Exception):
                    await client.publish(self._topics.availability, OFFLINE, qos=1, retain=True)

    async def _listen(self, client: Client) -> None:
        """Until the connection is lost. Raises MqttError then.

        The broker may say in our place that we are gone where it gives up a connection before this one: that is put
        right.
        """
        await client.subscribe(self._topics.availability, qos=1)
        async for heard in client.messages:
            if heard.payload == OFFLINE.encode():
                await client.publish(self._topics.availability, ONLINE, qos=1, retain=True)

    async def _send_all(self, client: Client) -> None:
        """Raises MqttError."""
        await client.publish(self._topics.availability, ONLINE, qos=1, retain=True)
        while True:
            self._news.clear()
            while self._unsent or self._results:
                if self._results:
                    topic, payload = self._results.popleft()
                    await client.publish(topic, payload, qos=0)
                else:
                    await self._send_retained(client, next(iter(self._unsent)))
                self._count("sent")
            self._idle.set()
            await self._news.wait()

    async def _send_retained(self, client: Client, topic: str) -> None:
        """It stays unsent until the broker has said that it has it."""
        said = self._retained[topic]
        await client.publish(topic, said.payload, qos=1, retain=True)
        if self._retained.get(topic) is said:
            del self._unsent[topic]
            if not said.payload:
                del self._retained[topic]


async def _end(*tasks: asyncio.Task[None], again_s: float) -> None:
    """Cancel until each has ended, every `again_s`: `asyncio.wait_for`, through which aiomqtt waits, loses a
    cancellation that comes together with the answer (Python before 3.12).
    """
    while left := {task for task in tasks if not task.done()}:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=again_s)
    await asyncio.gather(*tasks, return_exceptions=True)
