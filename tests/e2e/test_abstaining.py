"""A model that knows red alone, asked about red and about blue: over HTTP, by the client, with all options."""

import asyncio
from collections.abc import Iterator

import pytest

import fovea
from tests.e2e.test_recognitions import EVENTS, events_of
from tests.serving import Served, serving
from tests.tiny import knows_red, tiny_model


@pytest.fixture(scope="module")
def knowing() -> Iterator[Served]:
    with serving(models=[tiny_model(open_set=knows_red()), tiny_model(name="old")]) as service:
        yield service


def test_a_video_of_the_kind_it_knows_gets_a_label_and_no_reason(knowing: Served, red_video: bytes) -> None:
    body = knowing.post(red_video).json()
    assert body["label"] == "red"
    assert "reason" not in body
    assert body["in_domain"] > 0.9


def test_what_it_does_not_know_has_no_label_but_the_same_steps_and_predictions(
    knowing: Served, blue_video: bytes
) -> None:
    before = knowing.metric("fovea_abstained_total", model="tiny", reason="not_known")
    body, kept = (knowing.post(blue_video, query).json() for query in ("", "?abstain=false"))
    assert (body["label"], body["reason"]) == (None, "not_known")
    assert body["in_domain"] < 0.1
    assert (kept["label"], "reason" in kept, kept["in_domain"]) == ("blue", False, body["in_domain"])
    assert body["predictions"] == kept["predictions"]
    assert body["exit"] == kept["exit"]
    knowing.wait_for_metric(before + 1, "fovea_abstained_total", model="tiny", reason="not_known")


def test_a_model_without_a_score_says_no_in_domain_and_never_abstains(knowing: Served, blue_video: bytes) -> None:
    body = knowing.post(blue_video, "?model=old&abstain=true").json()
    assert body["label"] == "blue"
    assert "in_domain" not in body


def test_labels_below_min_score_are_not_told_and_where_none_is_left_the_label_is_null(
    knowing: Served, red_video: bytes
) -> None:
    some = knowing.post(red_video, "?min_score=0.5").json()
    assert [one["label"] for one in some["predictions"]] == ["red"]
    none = knowing.post(red_video, "?min_score=1").json()
    assert (none["predictions"], none["label"], none["reason"]) == ([], None, "below_min_score")


@pytest.mark.parametrize("query", ["min_score=1.01", "min_score=-0.1", "min_score=nan", "abstain=maybe", "abstain="])
def test_an_option_out_of_range_is_422_and_names_itself(knowing: Served, red_video: bytes, query: str) -> None:
    answer = knowing.post(red_video, f"?{query}")
    assert answer.status_code == 422
    assert answer.json()["option"] == query.split("=", maxsplit=1)[0]


def test_an_event_stream_ends_with_the_same_answer(knowing: Served, blue_video: bytes) -> None:
    *steps, (_, kind, result) = events_of(knowing.post(blue_video, "?min_score=0.2", **EVENTS).text)
    assert (kind, result["label"], result["reason"]) == ("result", None, "not_known")
    assert all(one["score"] >= 0.2 for _, _, step in steps for one in step["predictions"])


def test_the_client_types_it_sync_and_async(knowing: Served, blue_video: bytes) -> None:
    with fovea.Client(knowing.url) as client:
        answer = client.recognize(blue_video)
        assert (answer.label, answer.reason) == (None, fovea.AbstainReason.NOT_KNOWN)
        assert client.recognize(blue_video, abstain=False, min_score=0.1).label == "blue"

    async def ask() -> fovea.RecognitionAnswer:
        async with fovea.AsyncClient(knowing.url) as client:
            return await client.recognize(blue_video, abstain=True)

    assert asyncio.run(ask()).in_domain == answer.in_domain


def test_a_models_page_says_whether_it_has_a_score_and_what_it_is_worth(knowing: Served) -> None:
    told = knowing.client.get("/v1/models/tiny").json()["open_set"]
    assert (told["threshold"], told["auroc"], told["kept"]) == (0.5, 1.0, 1.0)
    assert knowing.client.get("/v1/models/old").json()["open_set"] is None
