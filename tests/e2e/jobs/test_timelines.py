"""A timeline may be a job, too."""

from tests.serving import serving

from .asking import ended, events


def test_a_timeline_is_done_as_a_job_and_tells_its_segments(red_video: bytes) -> None:
    with serving() as served:
        headers = {"Content-Type": "video/mp4", "Prefer": "respond-async"}
        answer = served.client.post("/v1/timelines?window_s=0.5", content=red_video, headers=headers)
        assert answer.status_code == 202, answer.text
        path = answer.headers["Location"]
        job = ended(served.client, path)
        assert (job["kind"], job["state"]) == ("timeline", "succeeded"), job
        assert job["result"]["segments"][0]["label"] == "red"
        names = [name for name, _ in events(served.client.get(f"{path}/events").text)]
        assert names[0] == "state"
        assert names[-1] == "result"
        assert "segment" in names
