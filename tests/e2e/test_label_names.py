"""Wherever an answer has a label, it has the label's name for people beside it; the label itself stays what it was."""

from collections.abc import Iterator

import pytest

from fovea import Client
from fovea.model_answers import LabelDetail
from models.label_texts import LabelText
from tests.clips import cached_clip, solid
from tests.serving import Served, serving
from tests.tiny import LABELS, tiny_model

RED = LabelText("Red things", "Something red fills the picture.")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(models=[tiny_model(label_texts={"red": RED}, frontier=((1e8, 0.8),))]) as service:
        yield service


@pytest.fixture(scope="module")
def video() -> bytes:
    return cached_clip("red.mp4", pattern=solid(220, 20, 20), seconds=1.0).read_bytes()


def test_a_recognition_keeps_both(served: Served, video: bytes) -> None:
    with Client(served.url) as fovea:
        answer = fovea.recognize(video)
    assert (answer.label, answer.display_name) == ("red", "Red things")
    assert {one.label: one.display_name for one in answer.predictions} == dict.fromkeys(LABELS) | {"red": "Red things"}
    assert answer.compute.steps[0].top.name == "Red things"


def test_labels_are_asked_for_by_label_and_an_answer_without_one_has_no_name(served: Served, video: bytes) -> None:
    only = served.post(video, "?labels=green&min_score=0.9").json()
    assert only["label"] is None
    assert "display_name" not in only
    assert served.post(video, "?labels=Red%20things").status_code == 422


def test_a_model_describes_its_labels_in_their_order(served: Served) -> None:
    model = served.client.get("/v1/models/tiny").json()
    assert model["label_details"][1:] == [{"label": "green"}, {"label": "blue"}]
    assert LabelDetail(**model["label_details"][0]).description == RED.description
    assert [one["label"] for one in model["label_details"]] == model["labels"]


def test_a_timeline_keeps_both(served: Served, video: bytes) -> None:
    with Client(served.url) as fovea:
        (segment,) = fovea.timeline(video).segments
    assert (segment.label, segment.display_name, segment.predictions[0].name) == ("red", "Red things", "Red things")
