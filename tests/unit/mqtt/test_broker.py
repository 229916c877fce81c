"""Where the broker is, and what is shown of it."""

import pytest

from service.mqtt.broker import Broker
from service.settings import Settings, SettingsError


def test_a_url_says_where_the_broker_is_and_who_comes() -> None:
    broker = Broker.parse("mqtts://front%40desk:p%2Fw@broker.example:9883")
    assert (broker.host, broker.port, broker.user, broker.password) == ("broker.example", 9883, "front@desk", "p/w")
    assert broker.is_encrypted
    assert [Broker.parse(f"{scheme}://h").port for scheme in ("mqtt", "mqtts")] == [1883, 8883]
    assert Broker.parse("mqtt://[::1]").host == "::1"
    assert Broker.parse("mqtt://h").user is None


def test_neither_the_password_nor_the_user_is_ever_shown() -> None:
    broker = Broker.parse("mqtt://desk:secret@[fd00::1]/")
    assert str(broker) == "mqtt://***@[fd00::1]:1883"
    for shown in (str(broker), repr(broker), f"{broker}"):
        assert "secret" not in shown
        assert "desk" not in shown


@pytest.mark.parametrize(
    "text",
    ["", "broker:1883", "http://broker", "mqtt://", "mqtt://h:0", "mqtt://h:99999", "mqtt://u:se/cret@h", "mqtt://h/x",
     "mqtt://u:se#cret@h", "mqtt://u:se?cret@h", "mqtt://[::1"],
)  # fmt: skip
def test_what_is_no_brokers_url_is_refused_and_not_shown(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="must") as refused:
        Broker.parse(text)
    assert "cret" not in str(refused.value)
    if text:
        monkeypatch.setenv("FOVEA_MQTT_URL", text)
        with pytest.raises(SettingsError, match="FOVEA_MQTT_URL=") as told:
            Settings.read()
        assert "cret" not in str(told.value)
        assert told.value.__cause__ is None  # whose text would hold it


@pytest.mark.parametrize("name", ["FOVEA_MQTT_TOPIC", "FOVEA_MQTT_DISCOVERY"])
@pytest.mark.parametrize("text", ["/fovea", "fovea/", "a//b", "a/+", "#", "$SYS"])
def test_what_cannot_begin_a_topic_is_refused(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError, match=name):
        Settings.read()
    monkeypatch.setenv(name, "house/fovea")
    Settings.read()
