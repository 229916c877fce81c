"""Under which topics a camera is told of, and how Home Assistant finds it. Knows no socket.

Home Assistant's MQTT discovery: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery (by device).
"""

import json
import re
from dataclasses import dataclass

ONLINE, OFFLINE = "online", "offline"

_NOT_IN_A_LEVEL = re.compile(r"[/+#$\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Topics:
    """`prefix` comes before all of them; `service` names this process among those that share a broker."""

    prefix: str
    service: str
    discovery: str | None = None  # Home Assistant's own prefix; None: it is not told

    @property
    def availability(self) -> str:
        """Whether this process is there: `online`, or what the broker says in its place, `offline`."""
        return f"{self.prefix}/service/{level(self.service)}/availability"

    def state(self, camera: str) -> str:
        return f"{self.prefix}/{level(camera)}/state"

    def result(self, camera: str) -> str:
        return f"{self.prefix}/{level(camera)}/result"

    def config(self, stream: str) -> str | None:
        """Where Home Assistant looks for the device; None: it is not told."""
        return None if self.discovery is None else f"{self.discovery}/device/fovea_{stream}/config"

    def device(self, stream: str, camera: str, model: str) -> bytes:
        """The device of one camera: its label, how sure, whether pictures arrive."""
        result, state = self.result(camera), self.state(camera)
        sensor = {"platform": "sensor", "state_topic": result}
        return json.dumps(
            {
                "device": {"identifiers": [stream], "name": camera, "manufacturer": "Fovea", "model": model},
                "origin": {"name": "Fovea"},
                "availability": [{"topic": self.availability}],
                "components": {
                    "label": sensor
                    | {
                        "name": "Label",
                        "unique_id": f"{stream}_label",
                        "value_template": "{{ value_json.recognition.label }}",
                        "json_attributes_topic": result,
                        "json_attributes_template": "{{ {'captured_at': value_json.captured_at, "
                        "'frame_age_s': value_json.frame_age_s, 'reason': value_json.recognition.reason, "
                        "'predictions': value_json.recognition.predictions} | tojson }}",
                        "icon": "mdi:eye",
                    },
                    "score": sensor
                    | {
                        "name": "Score",
                        "unique_id": f"{stream}_score",
                        "value_template": "{% if value_json.recognition.predictions %}"
                        "{{ (value_json.recognition.predictions[0].score * 100) | round(1) }}{% endif %}",
                        "unit_of_measurement": "%",
                        "state_class": "measurement",
                    },
                    "camera": {
                        "platform": "binary_sensor",
                        "name": "Camera",
                        "unique_id": f"{stream}_camera",
                        "state_topic": state,
                        "value_template": "{{ 'ON' if value_json.state == 'live' else 'OFF' }}",
                        "device_class": "connectivity",
                    },
                },
            }
        ).encode()


def level(name: str) -> str:
    """A name as one level of a topic: what would be a boundary or a wildcard there is an underscore."""
    return _NOT_IN_A_LEVEL.sub("_", name)
