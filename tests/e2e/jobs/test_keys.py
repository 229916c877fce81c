"""Jobs of a service with keys: each sees its own, and pays for them."""

import time
from pathlib import Path

from tests.keys import key_file
from tests.serving import serving

from .asking import PATIENCE_S, ended, hand_in, problem, submitted


def test_a_key_sees_its_own_jobs_and_an_admin_all_of_them(tmp_path: Path, red_video: bytes) -> None:
    secrets = key_file(tmp_path / "keys.json", desk={}, door={}, boss={"scopes": ["recognize", "admin"]})
    keys = {name: {"Authorization": f"Bearer {secret}"} for name, secret in secrets.items()}
    with serving(api_keys_file=tmp_path / "keys.json") as served:
        assert hand_in(served.client, red_video).status_code == 401
        path = submitted(served.client, red_video, **keys["desk"], **{"Idempotency-Key": "one"})
        theirs = submitted(served.client, red_video, **keys["door"], **{"Idempotency-Key": "one"})
        assert path != theirs, "keys are each client's own"
        for method, what in (("GET", path), ("DELETE", path), ("GET", f"{path}/events")):
            answer = served.client.request(method, what, headers=keys["door"])
            assert (answer.status_code, problem(answer)) == (404, "unknown-job")
        served.client.headers.update(keys["desk"])
        assert ended(served.client, path)["state"] == "succeeded"
        served.client.headers.update(keys["door"])
        assert ended(served.client, theirs)["state"] == "succeeded"

        def listed(name: str) -> list[str]:
            return [job["id"] for job in served.client.get("/v1/jobs", headers=keys[name]).json()["jobs"]]

        assert listed("desk") == [path.rpartition("/")[2]]
        assert sorted(listed("boss")) == sorted(one.rpartition("/")[2] for one in (path, theirs))
        used = {one["key"]: one for one in served.client.get("/v1/usage", headers=keys["boss"]).json()["usage"]}
        assert used["desk"]["gflops"] == used["door"]["gflops"] == 0.18


def test_a_job_of_a_key_whose_limit_is_used_up_waits(tmp_path: Path, red_video: bytes) -> None:
    secrets = key_file(tmp_path / "keys.json", desk={"limits": {"gflops_per_day": 0.3}})
    with serving(api_keys_file=tmp_path / "keys.json") as served:
        served.client.headers["Authorization"] = f"Bearer {secrets['desk']}"
        paths = [submitted(served.client, red_video) for _ in range(2)]  # each may cost 0.18
        states: list[str] = []
        give_up_s = time.monotonic() + PATIENCE_S
        while "succeeded" not in states:
            assert time.monotonic() < give_up_s, states
            states = [served.client.get(path).json()["state"] for path in paths]
        waiting = paths[1 - states.index("succeeded")]
        job = served.client.get(waiting).json()
        assert job["state"] in {"queued", "running"}
        assert job["problem"] is None
        assert served.client.delete(waiting).status_code in {200, 202}
        assert ended(served.client, waiting)["state"] == "cancelled"
