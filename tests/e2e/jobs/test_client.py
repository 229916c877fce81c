"""The client library and the command line hand jobs in, wait for them, list them, follow them, call them off."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import fovea
from cli.main import cli
from fovea.errors import JobCancelled, JobFinished, UnknownJob, VideoUnreadable
from tests.clips import cached_clip
from tests.serving import Served, serving
from tests.tiny import Gate, TinyRecognizer


@pytest.fixture
def gate() -> Gate:
    return Gate("focus")


@pytest.fixture
def gated(gate: Gate) -> Iterator[Served]:
    with serving(TinyRecognizer(gate), job_concurrency=1) as served:
        yield served
        gate.open()


@pytest.fixture
def client(served: Served) -> Iterator[fovea.Client]:
    with fovea.Client(served.url) as client:
        yield client


def test_a_job_is_handed_in_and_waited_for(client: fovea.Client, red_video: bytes) -> None:
    job = client.submit(red_video, top_k=1)
    assert [one.label for one in job.wait(30).predictions] == ["red"]
    assert job.state == fovea.JobState.SUCCEEDED
    assert client.job(job.id).answer == job.answer
    assert job.id in [one.id for one in client.jobs("succeeded")]
    with pytest.raises(JobFinished):
        job.cancel()


def test_a_timeline_is_handed_in_and_waited_for(client: fovea.Client, red_video: bytes) -> None:
    job = client.submit_timeline(red_video, window_s=0.5, labels=["red", "blue"], key="my-timeline")
    answer = job.wait(30)
    assert [one.label for one in answer.segments] == ["red"]
    assert [one.label for one in answer.segments[0].predictions] == ["red", "blue"]
    assert job.answer.kind == "timeline"
    assert client.job(job.id).wait() == answer
    assert [event.name for event in job.events()][-1] == "result"
    assert client.submit_timeline(red_video, window_s=0.5, labels=["red", "blue"], key="my-timeline").id == job.id


def test_the_same_key_is_the_same_job(client: fovea.Client, red_video: bytes) -> None:
    assert client.submit(red_video, key="mine").id == client.submit(red_video, key="mine").id


def test_what_a_job_failed_with_is_raised_where_it_is_waited_for(client: fovea.Client) -> None:
    with pytest.raises(VideoUnreadable):
        client.submit(b"no video" * 50).wait(30)


def test_a_job_that_never_was_is_an_error_of_its_own(client: fovea.Client) -> None:
    with pytest.raises(UnknownJob):
        client.job("job_never")


def test_events_come_from_the_beginning_to_the_end(client: fovea.Client, red_video: bytes) -> None:
    job = client.submit(red_video)
    told = list(job.events())
    assert [event.name for event in told] == ["state", "step", "step", "step", "result"]
    assert list(job.events(last_event_id=told[-2].id)) == told[-1:]


def test_a_job_that_is_cancelled_has_no_answer_to_wait_for(gated: Served, gate: Gate, red_video: bytes) -> None:
    with fovea.Client(gated.url) as client:
        job = client.submit(red_video)
        assert gate.reached.wait(30)
        with pytest.raises(TimeoutError):
            job.wait(0.2)
        job.cancel()
        with pytest.raises(JobCancelled):
            job.wait(30)


async def test_the_client_for_asyncio_does_the_same(served: Served, red_video: bytes) -> None:
    async with fovea.AsyncClient(served.url) as client:
        job = await client.submit(red_video, top_k=1)
        assert (await job.wait(30)).predictions[0].label == "red"
        assert [event.name async for event in job.events()][-1] == "result"
        assert job.id in [one.id async for one in client.jobs()]
        timeline = await client.submit_timeline(red_video, window_s=0.5)
        assert (await timeline.wait(30)).segments[0].label == "red"
        with pytest.raises(JobFinished):
            await (await client.job(job.id)).cancel()


def run(served: Served, *words: str) -> Any:
    return CliRunner().invoke(cli, [*words, "--server", served.url])


def test_the_command_line_hands_in_lists_shows_and_cancels(gated: Served, gate: Gate, red_video: bytes) -> None:
    path = str(cached_clip("red.mp4"))
    done = run(gated, "classify", "--async", path)
    assert done.exit_code == 0, done.output
    job = done.output.strip()
    assert gate.reached.wait(30)
    listed = run(gated, "jobs", "list", "--state", "running", "--json")
    assert [json.loads(line)["id"] for line in listed.output.splitlines()] == [job]
    other = run(gated, "classify", "--async", path).output.strip()
    assert run(gated, "jobs", "cancel", other).output.strip() == "cancelled"
    gate.open()
    waited = run(gated, "jobs", "wait", job)
    assert "succeeded" in waited.output
    assert "red" in waited.output
    shown = run(gated, "jobs", "get", job, "--json")
    assert json.loads(shown.output)["result"]["predictions"][0]["label"] == "red"
    assert "cancelled" in run(gated, "jobs", "list").output


def test_the_command_line_hands_in_a_timeline_and_draws_it_once_it_is_done(served: Served, red_video: bytes) -> None:
    done = run(served, "timeline", "--async", "--label", "red", str(cached_clip("red.mp4")))
    assert done.exit_code == 0, done.output
    waited = run(served, "jobs", "wait", done.output.strip())
    assert "timeline" in run(served, "jobs", "list").output
    assert next(line for line in waited.output.splitlines() if line.startswith("red")).count("█") > 20
    assert "complete" in waited.output


@pytest.mark.parametrize("command", ["classify", "timeline"])
def test_what_waits_for_no_answer_has_no_form_of_one(served: Served, red_video: bytes, command: str) -> None:
    done = run(served, command, "--async", "--json", str(cached_clip("red.mp4")))
    assert "--async does not wait for an answer" in str(done.exception)


def test_a_webhook_without_a_job_is_refused(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"")
    done = CliRunner().invoke(cli, ["classify", str(video), "--webhook-url", "https://example.org/"])
    assert isinstance(done.exception, ValueError)
    assert "--async" in str(done.exception)
