"""What watches cameras."""

import contextlib
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

from service.addresses.policy import AddressPolicy
from service.api.streams import telling as stream_telling
from service.api.streams.publishing import publish
from service.engine.pipeline import Pipeline
from service.keys.spending import Accounts
from service.ledger.base import Ledger
from service.metrics import Metrics
from service.mqtt.broker import Broker
from service.mqtt.topics import Topics
from service.settings import Settings
from service.streams.ingest import Terms
from service.streams.pool import Pool
from service.streams.sharing import SharedCameras
from service.streams.status import Result, Status
from service.streams.subscription import Subscription
from service.streams.supervisor import Supervisor
from service.streams.watcher import Parts
from service.webhooks.outbox import Outbox
from video.camera.live import Patience
from video.children.camera_process import CameraProcess
from video.children.capacity import num_cores

if TYPE_CHECKING:
    from service.mqtt.publisher import Publisher  # it brings an extra

CAMERAS_PER_CORE = 16  # decision 0009 carried 14 with every frame decoded, 48 of quiet scenes


def _usual_capacity(settings: Settings) -> int:
    """Cameras of one replica: alone it has to watch them all."""
    return settings.max_streams if settings.redis_url is None else CAMERAS_PER_CORE * num_cores()


@contextlib.asynccontextmanager
async def open_streams(
    settings: Settings,
    metrics: Metrics,
    pipeline: Pipeline,
    ledger: Ledger,
    accounts: Accounts,
    outbox: Outbox | None = None,
    publisher: "Publisher | None" = None,
) -> AsyncIterator[Supervisor]:
    """Look after the subscribed cameras with this pipeline; hand them over on the way out."""
    terms = Terms(
        policy=AddressPolicy(
            settings.stream_allowed_networks, settings.stream_ports, private=not settings.listens_beyond_loopback
        ),
        patience=Patience(
            settings.stream_connect_timeout_s, settings.stream_open_timeout_s, settings.stream_stall_timeout_s
        ),
        limits=settings.video_limits(),
        backoff_cap_s=settings.stream_backoff_cap_s,
        auth_retry_s=settings.stream_auth_retry_s,
        least_keyframes=settings.stream_keyframes_per_window,
        ca_file=None if settings.stream_ca_file is None else str(settings.stream_ca_file),
        verify=settings.stream_tls_verify,
    )

    async def announce(subscription: Subscription, event_id: str, told: Status | Result) -> None:
        if publisher is not None:
            publish(publisher, subscription, told)
        if outbox is not None:
            await stream_telling.tell(outbox, subscription, event_id, told)

    rate = settings.stream_gflops_per_s
    parts = Parts(
        pipeline=pipeline,
        book=ledger.book("stream", events_kept=settings.stream_events_kept),
        pool=Pool(None if rate is None else rate * 1e9),
        metrics=metrics,
        terms=terms,
        camera_metrics=settings.camera_metrics,
        accounts=accounts,
        start_process=SharedCameras(
            partial(CameraProcess.start, address_space_bytes=settings.decode_address_space_bytes)
        ).start,
        announce=None if outbox is None and publisher is None else announce,
    )
    supervisor = Supervisor(
        parts,
        lease_s=settings.stream_lease_s,
        max_streams=settings.max_streams,
        capacity=settings.max_replica_streams or _usual_capacity(settings),
    )
    if publisher is not None:
        publisher.ask_whose(lambda stream: stream in supervisor.held)
    supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.close()


@contextlib.asynccontextmanager
async def open_publisher(settings: Settings, metrics: Metrics) -> "AsyncIterator[Publisher | None]":
    """Tell a broker of MQTT what cameras show; None where there is none. It is not waited for."""
    if settings.mqtt_url is None:
        yield None
        return
    from service.mqtt.publisher import Publisher

    publisher = Publisher(
        Broker.parse(settings.mqtt_url.get_secret_value()),
        Topics(
            settings.mqtt_topic,
            settings.mqtt_service or f"{socket.gethostname()}-{settings.port}",
            settings.mqtt_discovery,
        ),
        metrics,
        ca_file=settings.mqtt_ca_file,
    )
    publisher.start()
    try:
        yield publisher
    finally:
        await publisher.close()
