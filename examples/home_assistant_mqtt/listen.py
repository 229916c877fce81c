"""Print what cameras show, as a broker of MQTT hears it from the service. A broker that goes away is asked again.

python examples/home_assistant_mqtt/listen.py mqtt://user:password@192.168.1.5:1883
"""

import argparse
import asyncio
import os
import ssl
import sys
from urllib.parse import unquote, urlsplit

from aiomqtt import Client, Message, MqttError

import fovea

AGAIN_S = 5.0


def told(prefix: str, message: Message) -> str:
    """One line for one message. The last levels of its topic say what it is: <camera>/result, for instance."""
    *_, name, kind = message.topic.value.removeprefix(f"{prefix}/").split("/")
    payload = message.payload if isinstance(message.payload, bytes) else b""
    match kind:
        case "result":
            seen = fovea.ResultEvent.model_validate_json(payload)
            answer = seen.recognition
            label = answer.display_name or answer.label or f"no label ({answer.reason})"
            score = f" {answer.predictions[0].score:.2f}" if answer.predictions else ""
            return f"{seen.captured_at:%H:%M:%S} {name}: {label}{score}, {answer.compute.spent_gflops:.2f} GFLOPs"
        case "state" if payload:
            state = fovea.StateEvent.model_validate_json(payload)
            return f"{name} is {state.state}{f': {state.error.detail}' if state.error else ''}"
        case "state":  # what the broker kept of it is gone
            return f"{name} is forgotten"
        case _:
            return f"service {name} is {payload.decode()}"


async def listen(url: str, prefix: str, ca_file: str | None) -> None:
    """Raises MqttError where the broker cannot be reached, or is lost."""
    broker = urlsplit(url)
    encrypted = broker.scheme == "mqtts"
    user, password = (None if one is None else unquote(one) for one in (broker.username, broker.password))
    async with Client(
        broker.hostname or "127.0.0.1",
        broker.port or (8883 if encrypted else 1883),
        username=user,
        password=password,
        tls_context=ssl.create_default_context(cafile=ca_file) if encrypted else None,
    ) as client:
        for levels in ("+/result", "+/state", "service/+/availability"):
            await client.subscribe(f"{prefix}/{levels}", qos=1)
        async for message in client.messages:
            print(told(prefix, message), flush=True)


async def main(url: str, prefix: str, ca_file: str | None) -> None:
    while True:
        try:
            await listen(url, prefix, ca_file)
        except MqttError as error:
            print(f"the broker is away: {error}; asking again in {AGAIN_S:.0f} s", file=sys.stderr)
        await asyncio.sleep(AGAIN_S)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", default=os.environ.get("FOVEA_MQTT_URL", "mqtt://127.0.0.1:1883"))
    parser.add_argument(
        "--topic", default=os.environ.get("FOVEA_MQTT_TOPIC", "fovea"), help="What all topics begin with."
    )
    parser.add_argument("--ca-file", default=os.environ.get("FOVEA_MQTT_CA_FILE"), help="For mqtts://.")
    asked = parser.parse_args()
    try:
        asyncio.run(main(asked.url, asked.topic, asked.ca_file))
    except KeyboardInterrupt:
        sys.exit(130)
