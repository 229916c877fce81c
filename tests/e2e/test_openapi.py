"""Our OpenAPI description is true: whatever schemathesis makes of it, no answer is undocumented and none is a 5xx.

Bounded and repeatable: so many examples an operation, no random ones.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.clips import cached_clip, solid
from tests.serving import Served, serving

ROOT = Path(__file__).parents[2]
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "negative_data_rejection",
)


def fuzz(served: Served, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    video = cached_clip("fuzzed.mp4", pattern=solid(220, 20, 20), seconds=0.5, size=(64, 48))
    program = Path(sys.executable).with_name("schemathesis")
    return subprocess.run(
        [
            program,
            "--config-file",
            ROOT / "tests/e2e/fuzzing/schemathesis.toml",
            "run",
            f"{served.url}/openapi.json",
            "--checks",
            ",".join(CHECKS),
            "--phases",
            "examples,coverage,fuzzing",
            "--generation-deterministic",
            "--no-color",
            *arguments,
        ],
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "tests.e2e.fuzzing.hooks", "FUZZING_VIDEO": str(video), "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_no_answer_is_undocumented_and_none_is_a_server_error(tmp_path: Path) -> None:
    with serving(max_upload_bytes=2**20, max_deadline_ms=60_000) as served:
        # A stream of events never ends, and a fuzzer reads to the end: tests/e2e/streams hold that one.
        endless = "/v1/streams/{stream}/events"
        apart = "/v1/timelines"  # each starts a process: fewer examples, below
        done = fuzz(served, tmp_path, "--max-examples", "40", "--exclude-path", endless, "--exclude-path", apart)
        assert done.returncode == 0, done.stdout + done.stderr
        answered = served.client.get("/metrics").text
        assert served.metric("fovea_requests_total", model="tiny", outcome="ok") > 10, "real videos were among them"
        assert served.metric("fovea_requests_total", model="tiny", outcome="error") == 0
        assert 'http_response_status_code="500"' not in answered


def test_no_answer_about_a_timeline_is_undocumented(tmp_path: Path) -> None:
    with serving(max_timeline_bytes=2**20, max_deadline_ms=60_000) as served:
        patience = ("--request-timeout", "60", "--max-examples", "24")
        done = fuzz(served, tmp_path, *patience, "--include-path", "/v1/timelines")
        assert done.returncode == 0, done.stdout + done.stderr
        assert served.metric("fovea_timeline_requests_total", model="tiny", outcome="ok") > 3, (
            "real ones were among them"
        )
        assert served.metric("fovea_timeline_requests_total", model="tiny", outcome="error") == 0


def test_an_undocumented_answer_would_be_found(tmp_path: Path) -> None:
    with serving(max_upload_bytes=2**20) as served:
        paths = served.app.openapi()["paths"]
        del paths["/v1/models/{name}"]["get"]["responses"]["404"]
        done = fuzz(served, tmp_path, "--max-examples", "5", "--include-path", "/v1/models/{name}")
    assert done.returncode == 1
    assert "ndocumented" in done.stdout, done.stdout


def test_every_refusal_is_a_problem_by_reference_and_every_success_has_a_type() -> None:
    with serving(ready=False) as served:
        schema = served.client.get("/openapi.json").json()
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert set(schema["components"]["schemas"]["Problem"]["required"]) >= {"type", "title", "status", "detail"}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert answer["content"] == problem, (path, method, status)
                elif status != "204":
                    assert answer["content"], (path, method, status)
            assert "421" in operation["responses"]
            needs_key = path not in {"/livez", "/readyz"}
            assert ("401" in operation["responses"]) == needs_key
            assert ("403" in operation["responses"]) == (needs_key or method in {"post", "delete"})
            assert operation.get("security") == ([{"key": []}, {}] if needs_key else None)
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_the_routes_that_take_a_video_take_it_in_the_same_forms_with_the_same_promises() -> None:
    with serving(ready=False) as served:
        paths = served.client.get("/openapi.json").json()["paths"]
    recognition, timeline = (paths[f"/v1/{name}"]["post"] for name in ("recognitions", "timelines"))
    assert recognition["requestBody"] == timeline["requestBody"]
    assert set(timeline["requestBody"]["content"]) >= {"multipart/form-data", "application/json"}
    own, theirs = ({one["name"]: one for one in route["parameters"]} for route in (timeline, recognition))
    for name in ("Prefer", "Idempotency-Key", "webhook_url", "webhook_events"):
        assert own[name] == theirs[name]
    assert set(timeline["responses"]) == set(recognition["responses"])
