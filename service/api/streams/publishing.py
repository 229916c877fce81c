"""What a broker of MQTT is told of a stream: its events, as its followers hear them. Knows no camera and no socket."""

from typing import TYPE_CHECKING

from fovea.words import StreamState
from service.api.streams.answers import result_event, state_event
from service.streams.status import Result, Status
from service.streams.subscription import Subscription

if TYPE_CHECKING:
    from service.mqtt.publisher import Publisher  # it brings an extra


def publish(publisher: "Publisher", subscription: Subscription, told: Status | Result) -> None:
    """Handed over at once; nothing is waited for. A camera without a name goes by its stream's id."""
    stream = subscription.id
    camera = subscription.name or stream
    if isinstance(told, Result):
        publisher.result(camera, result_event(stream, told).model_dump_json())
    elif told.state is StreamState.DELETED:
        publisher.end(stream, camera, state_event(stream, told).model_dump_json())
    else:
        publisher.state(stream, camera, subscription.model, state_event(stream, told).model_dump_json())
