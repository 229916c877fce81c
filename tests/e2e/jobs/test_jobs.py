"""A request that becomes a job: accepted, done, followed, listed, called off; in one process and over Redis."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fovea.errors import Unavailable
from service.blobs.store import Blobs
from tests.serving import Served, serving
from tests.tiny import Gate, TinyRecognizer

from .asking import ended, events, hand_in, problem, submitted, wait_for


@pytest.fixture
def gate() -> Gate:
    """Jobs stop before their first cube, until it is opened."""
    return Gate("focus")


@pytest.fixture
def gated(kept_in: dict[str, Any], gate: Gate) -> Iterator[Served]:
    with serving(TinyRecognizer(gate), job_concurrency=1, **kept_in) as served:
        yield served
        gate.open()


@pytest.fixture
def served(kept_in: dict[str, Any]) -> Iterator[Served]:
    with serving(**kept_in) as served:
        yield served


def test_a_job_is_answered_at_once_and_ends_with_the_answer_of_a_plain_request(
    served: Served, red_video: bytes
) -> None:
    path = submitted(served.client, red_video, "?top_k=2")
    job = ended(served.client, path)
    plain = served.post(red_video, "?top_k=2").json()
    assert job["state"] == "succeeded"
    assert (job["progress"], job["attempts"], job["problem"]) == (1.0, 1, None)
    assert job["result"].keys() == plain.keys()
    for same in ("model", "predictions", "exit", "compute"):
        assert job["result"][same] == plain[same]


def test_a_job_that_is_accepted_says_where_it_is_and_what_was_preferred(served: Served, red_video: bytes) -> None:
    submitted(served.client, red_video)
    answer = hand_in(served.client, red_video, Prefer="wait=1, Respond-Async; foo")
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert answer.json()["state"] in {"queued", "running", "succeeded"}


def test_its_events_are_replayed_from_the_start_or_from_where_a_follower_was(served: Served, red_video: bytes) -> None:
    path = submitted(served.client, red_video)
    ended(served.client, path)
    text = served.client.get(f"{path}/events").text
    told = events(text)
    assert [name for name, _ in told] == ["state", "step", "step", "step", "result"]
    assert told[0][1] == {"state": "running", "attempts": 1}
    assert told[-1][1]["predictions"][0]["label"] == "red"
    third = [line.removeprefix("id: ") for line in text.splitlines() if line.startswith("id: ")][2]
    rest = served.client.get(f"{path}/events", headers={"Last-Event-ID": third}).text
    assert events(rest) == told[3:]
    last = [line.removeprefix("id: ") for line in text.splitlines() if line.startswith("id: ")][-1]
    assert events(served.client.get(f"{path}/events?last_event_id={last}").text) == []


def test_a_follower_hears_each_step_while_it_is_taken(gated: Served, gate: Gate, red_video: bytes) -> None:
    path = submitted(gated.client, red_video)
    with gated.client.stream("GET", f"{path}/events") as answer:
        lines = answer.iter_lines()
        heard = [line for line in iter(lambda: next(lines), "event: step")]
        assert "event: state" in heard
        gate.open()
        assert "event: result" in list(lines)


def test_a_video_that_cannot_be_read_is_a_job_that_failed_with_the_problem_of_a_plain_request(
    served: Served,
) -> None:
    path = submitted(served.client, b"no video at all" * 100)
    job = ended(served.client, path)
    assert (job["state"], job["result"]) == ("failed", None)
    assert job["problem"]["type"] == "/problems/video-unreadable"
    assert job["problem"]["status"] == 422
    assert [name for name, _ in events(served.client.get(f"{path}/events").text)][-1] == "problem"


def test_a_job_that_runs_is_cancelled_at_its_next_step(gated: Served, gate: Gate, red_video: bytes) -> None:
    path = submitted(gated.client, red_video)
    assert gate.reached.wait(30)
    answer = gated.client.delete(path)
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    job = ended(gated.client, path)
    gate.open()
    assert (job["state"], job["result"], job["problem"]) == ("cancelled", None, None)
    assert [name for name, _ in events(gated.client.get(f"{path}/events").text)][-1] == "cancelled"
    assert gated.client.delete(path).status_code == 200  # it is what was asked for


def test_a_job_that_waits_is_cancelled_at_once_and_never_begun(gated: Served, gate: Gate, red_video: bytes) -> None:
    running = submitted(gated.client, red_video)
    assert gate.reached.wait(30)
    waiting = submitted(gated.client, red_video)
    answer = gated.client.delete(waiting)
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    gate.open()
    assert ended(gated.client, running)["state"] == "succeeded"
    after = submitted(gated.client, red_video)
    assert ended(gated.client, after)["state"] == "succeeded"
    assert gated.client.get(waiting).json()["attempts"] == 0


def test_jobs_are_listed_by_state_and_by_page(gated: Served, gate: Gate, red_video: bytes) -> None:
    paths = [submitted(gated.client, red_video) for _ in range(3)]
    ids = [path.rpartition("/")[2] for path in paths]
    wait_for(gated.client, paths[0], "running")

    def listed(query: str = "") -> list[str]:
        return [job["id"] for job in gated.client.get(f"/v1/jobs{query}").json()["jobs"]]

    assert listed() == ids[::-1]
    assert listed("?state=running") == ids[:1]
    assert listed("?state=queued") == ids[:0:-1]
    assert listed("?state=failed") == []
    page = gated.client.get("/v1/jobs?limit=2").json()
    assert [job["id"] for job in page["jobs"]] == ids[:0:-1]
    assert listed(f"?limit=2&before={page['next_before']}") == ids[:1]
    gate.open()
    for path in paths:
        assert ended(gated.client, path)["state"] == "succeeded"
    assert gated.client.get("/v1/jobs").json()["next_before"] is None


def test_the_same_key_and_body_are_the_same_job_and_another_body_is_refused(
    served: Served, red_video: bytes, blue_video: bytes
) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first = submitted(served.client, red_video, **key)
    again = hand_in(served.client, red_video, **key)
    assert (again.status_code, again.headers["Location"]) == (202, first)
    assert again.headers["Idempotency-Replayed"] == "true"
    for other in (
        hand_in(served.client, blue_video, **key),
        hand_in(served.client, red_video, "?top_k=1", **key),
        served.post(red_video, **key),
    ):
        assert (other.status_code, problem(other)) == (422, "idempotency-key-reused")
    assert len(served.client.get("/v1/jobs").json()["jobs"]) == 1


def test_a_form_is_the_same_whatever_its_boundary(served: Served, red_video: bytes) -> None:
    def post() -> httpx.Response:
        return served.client.post(
            "/v1/recognitions",
            files={"video": ("red.mp4", red_video)},
            data={"top_k": "1"},
            headers={"Idempotency-Key": "form", "Prefer": "respond-async"},
        )

    wait_for_queue = submitted(served.client, red_video)
    ended(served.client, wait_for_queue)
    assert post().headers["Location"] == post().headers["Location"]


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/v1/jobs/job_01JD3M8Q4Z6X7V9T2S5R1P0N8K", 404, "unknown-job"),
        ("DELETE", "/v1/jobs/never", 404, "unknown-job"),
        ("GET", "/v1/jobs/never/events", 404, "unknown-job"),
        ("GET", "/v1/jobs?state=asleep", 422, "invalid-option"),
        ("GET", "/v1/jobs?limit=0", 422, "invalid-option"),
        ("GET", "/v1/jobs?colour=red", 422, "invalid-option"),
    ],
)
def test_what_never_was_is_said_so(method: str, path: str, status: int, slug: str) -> None:
    with serving() as served:
        answer = served.client.request(method, path)
    assert (answer.status_code, problem(answer)) == (status, slug)


def test_a_job_that_has_ended_cannot_be_cancelled(served: Served, red_video: bytes) -> None:
    path = submitted(served.client, red_video)
    ended(served.client, path)
    answer = served.client.delete(path)
    assert (answer.status_code, problem(answer)) == (409, "job-finished")
    assert "succeeded" in answer.json()["detail"]
    assert served.client.get(path).json()["state"] == "succeeded"


def test_options_that_cannot_be_are_refused_before_a_job_is_made(served: Served, red_video: bytes) -> None:
    for query, slug in (
        ("?max_gflops=0.001", "budget-too-small"),
        ("?colour=red", "invalid-option"),
        ("?webhook_events=done", "invalid-option"),
        ("?webhook_url=https://example.org/", "invalid-option"),  # no secret is set
    ):
        answer = hand_in(served.client, red_video, query)
        assert (answer.status_code, problem(answer)) == (422, slug), query
    assert served.client.get("/v1/jobs").json()["jobs"] == []


def test_a_job_is_forgotten_once_it_was_kept_long_enough(red_video: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.jobs.desk.SWEEP_S", 0.1)
    with serving(job_retention_s=0.3) as served:
        path = submitted(served.client, red_video)
        while served.client.get(path).status_code == 200:
            pass
        assert served.client.get(path).status_code == 404
        assert served.client.get("/v1/jobs").json()["jobs"] == []
        blobs = served.app.state.settings.state_dir / "blobs"
        assert [file for file in blobs.rglob("*") if file.is_file()] == []


def test_there_are_no_more_jobs_than_the_limit(gated: Served, red_video: bytes) -> None:
    submitted(gated.client, red_video)
    gated.app.state.desk._max_jobs = 1
    answer = hand_in(gated.client, red_video)
    assert (answer.status_code, problem(answer)) == (429, "overloaded")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_job_that_had_no_room_may_be_sent_again_with_its_key(gated: Served, red_video: bytes) -> None:
    submitted(gated.client, red_video)
    gated.app.state.desk._max_jobs = 1
    key = {"Idempotency-Key": "again"}
    assert [hand_in(gated.client, red_video, **key).status_code for _ in range(2)] == [429, 429]
    gated.app.state.desk._max_jobs = 2
    assert hand_in(gated.client, red_video, **key).status_code == 202


def test_a_large_result_lies_in_the_blob_store_and_is_told_all_the_same(
    served: Served, red_video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.runner.LARGE_BYTES", 100)
    path = submitted(served.client, red_video)
    job = ended(served.client, path)
    assert job["result"]["predictions"][0]["label"] == "red"
    assert events(served.client.get(f"{path}/events").text)[-1] == ("result", job["result"])


def test_a_large_result_that_has_no_place_for_a_while_is_no_attempt_that_counts(
    red_video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.runner.LARGE_BYTES", 100)
    monkeypatch.setattr("service.jobs.runner.AWAY_S", 0.1)
    put, refused = Blobs.put, 0

    async def full_for_a_while(blobs: Blobs, key: str, content: Path | bytes) -> None:
        nonlocal refused
        if key.startswith("results/") and refused < 3:
            refused += 1
            raise Unavailable("the store for files that wait cannot be used")
        await put(blobs, key, content)

    monkeypatch.setattr(Blobs, "put", full_for_a_while)
    with serving(job_max_attempts=2, job_lease_s=30.0) as served:  # nobody waits for a lease to run out
        job = ended(served.client, submitted(served.client, red_video))
    assert (job["state"], job["attempts"], refused) == ("succeeded", 1, 3)
