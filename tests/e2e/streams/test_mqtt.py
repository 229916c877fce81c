"""A broker of MQTT hears what cameras show: real cameras, a real service, a real mosquitto."""

import sys
import time
from collections.abc import Iterator

import pytest

from fovea import Client
from fovea.stream_answers import ResultEvent, StateEvent
from service.server import make_server
from service.settings import Settings, SettingsError
from tests.cameras import Camera, camera
from tests.mosquitto import Mosquitto, listening, mosquitto
from tests.serving import serving

from .conftest import footage

pytestmark = pytest.mark.camera

WATCHING = {"stream_allowed_networks": "127.0.0.0/8", "stream_ports": "1-65535", "stream_backoff_cap_s": 1.0}
OPTIONS = {"window_s": 1.0, "stride_s": 0.5}


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as running:
        yield running


@pytest.fixture(scope="module")
def playing() -> Iterator[Camera]:
    with camera(footage()) as server:
        yield server


def test_what_followers_hear_the_broker_hears_too_and_nothing_is_kept_of_a_deleted_camera(
    broker: Mosquitto, playing: Camera
) -> None:
    settings = WATCHING | {"mqtt_url": broker.url(), "mqtt_discovery": "homeassistant", "mqtt_service": "here"}
    with listening(broker) as listener, serving(**settings) as served, Client(served.url) as client:
        stream = client.streams.create(playing.url(), name="front/door", **OPTIONS)
        nameless = client.streams.create("rtsp://127.0.0.1:9/x", **OPTIONS)
        live = listener.wait_for("fovea/front_door/state", lambda one: one.json["state"] == "live")
        assert StateEvent.model_validate_json(live.payload).stream == stream.id
        told = listener.wait_for("fovea/front_door/result")
        result = ResultEvent.model_validate_json(told.payload)
        for event in client.streams.follow(stream.id, last_event_id="0-0"):
            if isinstance(event.data, ResultEvent):
                assert event.data == result
                break
        listener.wait_for(f"fovea/{nameless.id}/state", lambda one: one.json["state"] == "reconnecting")
        config = f"homeassistant/device/fovea_{stream.id}/config"
        assert listener.wait_for(config).json["device"]["name"] == "front/door"
        with listening(broker) as later:  # what a home that was started again finds
            later.wait_for("fovea/front_door/state", lambda one: one.retained and one.json["state"] == "live")
            later.wait_for("fovea/service/here/availability", lambda one: one.payload == b"online")
        client.streams.delete(stream.id)
        listener.wait_for("fovea/front_door/state", lambda one: b"deleted" in one.payload)
        listener.wait_for(config, lambda one: one.payload == b"")
        served.wait_for_metric(1, "fovea_mqtt_up")
    listener.wait_for("fovea/service/here/availability", lambda one: one.payload == b"offline")
    with listening(broker) as later:
        later.wait_for(f"fovea/{nameless.id}/state", lambda one: one.json["state"] == "waiting")
        assert not [one for one in later.heard if "front_door" in one.topic or one.topic == config]


def test_cameras_and_requests_go_on_without_the_broker(playing: Camera, red_video: bytes) -> None:
    with mosquitto() as broker, serving(**WATCHING, mqtt_url=broker.url()) as served, Client(served.url) as client:
        served.wait_for_metric(1, "fovea_mqtt_up")
        broker.kill()
        served.wait_for_metric(0, "fovea_mqtt_up")
        stream = client.streams.create(playing.url(), name="door", **OPTIONS)
        for event in client.streams.follow(stream.id, last_event_id="0-0"):
            if isinstance(event.data, ResultEvent):
                break
        assert served.post(red_video).status_code == 200
        give_up_s = time.monotonic() + 20
        while not served.metric("fovea_mqtt_messages_total", outcome="dropped"):
            assert time.monotonic() < give_up_s
            time.sleep(0.05)
        broker.start()
        with listening(broker) as listener:
            listener.wait_for("fovea/door/state", lambda one: one.json["state"] == "live")
            listener.wait_for("fovea/door/result")


def test_without_the_extra_the_service_does_not_start_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiomqtt", None)  # as where it is not installed
    with pytest.raises(SettingsError, match=r"pip install 'fovea-server\[mqtt\]'"):
        make_server(Settings(mqtt_url="mqtt://127.0.0.1"))
    make_server(Settings())
