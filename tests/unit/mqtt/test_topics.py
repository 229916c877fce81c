"""Under which topics a camera is told of, and what Home Assistant makes of it."""

import json
import re

import pytest
from jinja2 import Environment

from fovea.answers import RecognitionAnswer
from fovea.stream_answers import ResultEvent, StateEvent
from service.mqtt.topics import Topics

TOPICS = Topics("fovea", "attic-8000", "homeassistant")
STREAM = "str_01JD3M8Q4Z6X7V9T2S5R1P0N8K"


def test_a_camera_has_a_topic_for_what_it_shows_and_one_for_how_it_is() -> None:
    assert TOPICS.result("front door") == "fovea/front door/result"
    assert TOPICS.state("front door") == "fovea/front door/state"
    assert TOPICS.availability == "fovea/service/attic-8000/availability"
    assert Topics("house/fovea", "x").state("a") == "house/fovea/a/state"


@pytest.mark.parametrize("name", ["yard/north", "a+b", "#", "$SYS", "line\nbreak", "nul\0"])
def test_a_name_is_one_level_and_no_wildcard(name: str) -> None:
    prefix, one, last = TOPICS.state(name).split("/")
    assert (prefix, last) == ("fovea", "state")
    assert not re.search(r"[+#$\x00-\x1f]", one)


def test_home_assistant_is_told_of_a_camera_only_where_it_is_wanted() -> None:
    assert TOPICS.config(STREAM) == f"homeassistant/device/fovea_{STREAM}/config"
    assert Topics("fovea", "x").config(STREAM) is None


def test_the_device_of_a_camera_has_a_label_a_score_and_whether_pictures_arrive() -> None:
    device = json.loads(TOPICS.device(STREAM, "front door", "adafocus-v3-compact"))
    assert device["device"]["name"] == "front door"
    assert device["device"]["identifiers"] == [STREAM]
    assert device["availability"] == [{"topic": TOPICS.availability}]
    assert {name: one["platform"] for name, one in device["components"].items()} == {
        "label": "sensor",
        "score": "sensor",
        "camera": "binary_sensor",
    }
    assert len({one["unique_id"] for one in device["components"].values()}) == 3
    assert device["components"]["camera"]["state_topic"] == "fovea/front door/state"


def rendered(component: str, said: object, template: str = "value_template") -> str:
    """As Home Assistant renders it."""
    device = json.loads(TOPICS.device(STREAM, "front door", "m"))
    return Environment().from_string(device["components"][component][template]).render(value_json=said)


def test_its_templates_read_what_is_told() -> None:
    """Fields of the API that they name are there: a renamed one would leave Home Assistant without a value."""
    assert {"captured_at", "frame_age_s", "recognition"} <= set(ResultEvent.model_fields)
    assert {"label", "reason", "predictions"} <= set(RecognitionAnswer.model_fields)
    assert "state" in StateEvent.model_fields
    scored = [{"label": "wave", "score": 0.9312}]
    said = {
        "captured_at": "2026-11-28T00:00:00Z",
        "frame_age_s": 0.2,
        "recognition": {"label": "wave", "reason": None, "predictions": scored},
    }
    assert rendered("label", said) == "wave"
    assert rendered("score", said) == "93.1"
    attributes = json.loads(rendered("label", said, "json_attributes_template"))
    assert attributes["predictions"] == scored
    assert rendered("camera", {"state": "live"}) == "ON"
    assert rendered("camera", {"state": "reconnecting"}) == "OFF"
    nothing = {"recognition": {"label": None, "reason": "not_known", "predictions": []}}
    assert rendered("label", nothing) == "None"  # which is Home Assistant's word for unknown
    assert rendered("score", nothing) == ""
