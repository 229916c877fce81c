"""What an operator sees over real HTTP: readiness, draining, metrics, log lines, the catalogue."""

import io
import json
import logging
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from types import SimpleNamespace

import httpx
import pytest

from service.logs import JsonLines
from tests.serving import Served, serving
from tests.tiny import Gate, TinyRecognizer


def test_before_the_models_are_loaded_everything_says_not_yet(red_video: bytes) -> None:
    loaded = threading.Event()
    with serving(ready=False, before_load=loaded) as served:
        assert served.client.get("/livez").status_code == 200
        for answer in (served.client.get("/readyz"), served.client.get("/v1/models"), served.post(red_video)):
            assert answer.status_code == 503
            assert answer.json()["type"] == "/problems/not-ready"
            assert int(answer.headers["retry-after"]) >= 1
        loaded.set()


def test_models_that_cannot_be_loaded_are_told_to_the_operator(
    red_video: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), serving(ready=False, load_error=ValueError("/models/x is damaged")) as served:
        give_up_s = time.monotonic() + 10
        while "damaged" not in (answer := served.client.get("/readyz")).text:
            assert time.monotonic() < give_up_s
        assert answer.status_code == 503
        refused = served.post(red_video)
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/not-ready")
        assert "/models/x" not in refused.text, "what lies where is no client's business"
        assert served.client.get("/livez").status_code == 200


def test_while_draining_new_requests_are_refused_and_admitted_ones_finish(red_video: bytes) -> None:
    gate = Gate("glance")
    with serving(TinyRecognizer(gate)) as served, ThreadPoolExecutor(1) as pool:
        admitted = pool.submit(served.post, red_video)
        assert gate.reached.wait(10)
        served.app.state.pipeline.admission.draining = True
        for answer in (served.client.get("/readyz"), served.post(red_video)):
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/draining")
        gate.open()
        assert admitted.result().status_code == 200


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_sigterm_lets_admitted_requests_finish(red_video: bytes, accept: str) -> None:
    gate = Gate("focus")
    with serving(TinyRecognizer(gate), drain_timeout_s=20) as served, ThreadPoolExecutor(1) as pool:
        admitted = pool.submit(served.post, red_video, Accept=accept)
        assert gate.reached.wait(10)
        served.server.handle_exit(signal.SIGTERM, None)
        time.sleep(0.7)  # what would cut a stream short looks every half second
        gate.open()
        answer = admitted.result()
        assert answer.status_code == 200
        assert '"reason":"exhausted"' in answer.text


def test_what_is_not_done_when_the_time_to_drain_is_over_is_sent_elsewhere(red_video: bytes) -> None:
    gate = Gate("glance")
    with serving(TinyRecognizer(gate), drain_timeout_s=1) as served, ThreadPoolExecutor(1) as pool:
        admitted = pool.submit(served.post, red_video)
        assert gate.reached.wait(10)
        served.server.handle_exit(signal.SIGTERM, None)
        cut = admitted.result()
        gate.open()
        assert (cut.status_code, cut.json()["type"]) == (503, "/problems/draining")
        assert int(cut.headers["retry-after"]) >= 1
        assert served.metric("fovea_requests_total", model="tiny", outcome="rejected") == 1
        assert served.metric("fovea_requests_total", model="tiny", outcome="cancelled") == 0


def test_what_nobody_expected_is_a_problem_too_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), serving() as served:
        loaded = served.app.state.pipeline
        served.app.state.pipeline = SimpleNamespace(admission=loaded.admission)  # without a catalogue
        answer = served.client.get("/v1/models", headers={"X-Request-ID": "abc"})
        served.app.state.pipeline = loaded
        assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal")
        assert answer.headers["x-request-id"] == "abc"
        assert "catalogue" not in answer.text
        assert "request abc met an error nobody expected" in caplog.text
        assert "AttributeError" in caplog.text
        http = {"http_request_method": "GET", "http_route": "/v1/models", "http_response_status_code": "500"}
        assert served.metric("http_server_request_duration_seconds_count", **http) == 1


def test_a_service_held_to_one_core_decodes_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with serving(decode_children=None) as served:
        assert len(served.app.state.pipeline._decoding._sandbox.pids) == 1


def test_the_catalogue_tells_prices_and_what_a_budget_means(served: Served) -> None:
    (summary,) = served.client.get("/v1/models").json()["models"]
    assert (summary["name"], summary["least_gflops"], summary["full_gflops"]) == ("tiny", 0.1, 0.18)
    detail = served.client.get("/v1/models/tiny?budget_gflops=0.12").json()
    assert detail["thresholds"]["solved_for_gflops"] == 0.1
    assert detail["thresholds"]["label_offsets_nats"] == []  # the same thresholds for all labels
    assert detail["labels"] == ["red", "green", "blue"]
    assert detail["step_gflops"] == [0.1, 0.05, 0.03]
    assert detail["card"] == {"Limits": "knows three colours"}
    assert served.client.get("/v1/models/unheard-of").status_code == 404
    assert served.client.get("/v1/models/tiny?budget_gflops=0.01").json()["type"] == "/problems/budget-too-small"
    assert served.client.get("/v1/models/tiny?budget_gflops=nan").json()["type"] == "/problems/invalid-option"
    assert served.client.get("/v1/models/tiny?budget=1").json()["type"] == "/problems/invalid-option"


def test_what_is_not_there_is_a_problem_too(served: Served) -> None:
    for answer, status in ((served.client.get("/nowhere"), 404), (served.client.get("/v1/recognitions"), 405)):
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"].startswith("/problems/")


def test_labels_of_http_metrics_are_templates_never_paths(served: Served) -> None:
    served.client.get("/v1/models/secret-name")
    served.client.get("/secret-path")
    served.client.request("SECRET", "/livez")
    text = served.client.get("/metrics").text
    assert "secret" not in text.lower()
    assert 'http_route="/v1/models/{name}"' in text


def test_a_request_s_id_is_the_client_s_where_it_is_well_formed(served: Served) -> None:
    def sent(request_id: str) -> str:
        return served.client.get("/livez", headers={"X-Request-ID": request_id}).headers["x-request-id"]

    assert sent("abc-123") == "abc-123"
    assert sent("no spaces, please").startswith("req_")
    assert sent("x" * 65).startswith("req_")


def test_one_line_in_the_log_tells_a_recognition(red_video: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "service.api.operation.accounting"), serving() as served:
        served.post(red_video, **{"X-Request-ID": "abc"})
        served.post(b"nonsense")
    first, second = [
        record.getMessage() for record in caplog.records if record.name == "service.api.operation.accounting"
    ]
    assert first.startswith("recognition request=abc client=127.0.0.1 model=tiny outcome=ok ")
    assert "steps=3 held_steps=0 exit=exhausted spent_gflops=0.18" in first
    assert "outcome=invalid" in second


def test_the_openapi_document_shows_options_bodies_examples_and_refusals(served: Served) -> None:
    document = served.client.get("/openapi.json").json()
    post = document["paths"]["/v1/recognitions"]["post"]
    assert [one["name"] for one in post["parameters"]] == [
        "model",
        "task",
        "budget_gflops",
        "min_budget_gflops",
        "max_gflops",
        "deadline_ms",
        "top_k",
        "min_score",
        "abstain",
        "labels",
        "picture",
        "Prefer",
        "webhook_url",
        "webhook_events",
        "Idempotency-Key",
        "Cache-Control",
    ]
    assert set(post["requestBody"]["content"]) == {
        "multipart/form-data",
        "application/json",
        "video/*",
        "application/octet-stream",
    }
    assert {"200", "400", "406", "408", "413", "415", "422", "429", "500", "503"} <= set(post["responses"])
    assert set(post["responses"]["429"]["content"]) == {"application/problem+json"}
    read = set(document["paths"]["/v1/models/{name}"]["get"]["responses"])
    assert read == {"200", "401", "403", "404", "421", "422", "431", "503"}
    assert {"application/json", "text/event-stream"} == set(post["responses"]["200"]["content"])
    assert document["components"]["schemas"]["RecognitionAnswer"]["properties"]["id"]["examples"]
    assert httpx.get(f"{served.url}/docs", trust_env=False).status_code == 200


def test_metrics_tell_what_runs_here(served: Served) -> None:
    told = served.client.get("/metrics").text
    assert f'fovea_build_info{{version="{version("fovea-server")}"}} 1.0' in told
    assert 'fovea_model_info{bundle="sha256:' in told
    assert "process_resident_memory_bytes " in told
    assert "python_info{" in told


def test_json_lines_of_a_request_name_it_and_its_trace_and_its_client(served: Served, red_video: bytes) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("service.api.operation.accounting")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        trace = "0af7651916cd43dd8448eb211c80319c"
        served.post(red_video, **{"X-Request-ID": "req-7", "traceparent": f"00-{trace}-b7ad6b7169203331-01"})
        give_up_s = time.monotonic() + 10
        while not written.getvalue() and time.monotonic() < give_up_s:
            time.sleep(0.01)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    (line,) = [json.loads(one) for one in written.getvalue().splitlines()]
    assert (line["request_id"], line["trace_id"]) == ("req-7", trace)
    assert "client=127.0.0.1" in line["message"]
