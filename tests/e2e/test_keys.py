"""A service with keys, over HTTP: who gets in, what a key opens, how much of it, and what is told of its use."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import fovea
from fovea.errors import MissingScope, QuotaExceeded, Unauthenticated
from service.api.edge.keyed import is_open
from service.api.pages import playground, problem_pages
from service.keys.file import change_keys
from service.settings import Settings, SettingsError
from tests.keys import key_file
from tests.serving import Served, serving

CAMERA = "rtsp://192.168.255.254/x"  # nobody is there


@dataclass(frozen=True)
class Guarded:
    served: Served
    secrets: dict[str, str]
    file: Path

    def of(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[name]}"}

    def post(self, name: str, video: bytes, query: str = "", **headers: str) -> httpx.Response:
        return self.served.post(video, query, **self.of(name), **headers)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    secrets = key_file(
        file,
        desk={},
        yard={"scopes": ["streams"]},
        gate={"scopes": ["streams"]},
        boss={"scopes": ["admin"]},
        old={"expires": "2020-01-01T00:00:00Z"},
        lost={"revoked": True},
        few={"limits": {"requests_per_minute": 2, "requests_per_day": 100}},
        thrifty={"limits": {"gflops_per_day": 0.5}},
        tiny={"limits": {"gflops_per_minute": 0.15}},
        mean={"limits": {"gflops_per_day": 0.15}},
    )
    with serving(api_keys_file=file, max_streams=8) as served:
        yield Guarded(served, secrets, file)


def test_everything_needs_a_key_but_health_and_the_pages_that_hold_nothing(guarded: Guarded) -> None:
    client = guarded.served.client
    pages = {str(getattr(route, "path", "")) for part in (playground, problem_pages) for route in part.router.routes}
    described = set(guarded.served.app.openapi()["paths"])
    paths = pages | described | {"/openapi.json", "/web/style.css", "/swagger-ui/swagger-ui.css"}
    assert {"/v1/recognitions", "/v1/streams/{stream}/events", "/metrics", "/playground/clips/{name}"} <= paths
    opened = {path for path in paths if is_open(path)}
    assert opened == {
        "/", "/livez", "/readyz", "/docs", "/playground", "/problems", "/problems/{slug}", "/web/style.css",
        "/swagger-ui/swagger-ui.css",
    }  # fmt: skip
    for path in paths - opened:
        answer = client.get(re.sub(r"\{.*?\}", "x", path))
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated"), path
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fovea"'
    assert client.get("/v1/nothing-here").status_code == 401
    assert {client.get(path).status_code for path in ("/", "/livez", "/docs", "/problems")} == {200}


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("Bearer fovea_unknown", "not known here"),
        ("Bearer", "read here as"),
        ("Basic dXNlcjpwYXNz", "read here as"),
        ("fovea_unknown", "read here as"),
        ("Bearer \xe4\xf6", "not known here"),
        ("Bearer " + "x" * 4000, "not known here"),
    ],
)
def test_what_is_no_key_of_ours_is_refused(guarded: Guarded, red_video: bytes, header: str, told: str) -> None:
    answer = guarded.served.post(red_video, Authorization=header.encode("latin-1"))  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert told in answer.json()["detail"]
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fovea", error="invalid_token"'
    assert "fovea_unknown" not in answer.text


@pytest.mark.parametrize(("name", "told"), [("old", "expired at 2020-01-01"), ("lost", "was revoked")])
def test_expired_and_revoked_keys_are_told_why(guarded: Guarded, red_video: bytes, name: str, told: str) -> None:
    answer = guarded.post(name, red_video)
    assert (answer.status_code, told in answer.json()["detail"]) == (401, True)


@pytest.mark.parametrize(
    ("name", "path", "status"),
    [
        ("desk", "/v1/models", 200),
        ("desk", "/v1/usage", 200),
        ("desk", "/openapi.json", 200),
        ("desk", "/v1/streams", 403),
        ("desk", "/metrics", 403),
        ("yard", "/v1/streams", 200),
        ("yard", "/v1/models", 200),
        ("boss", "/v1/streams", 200),
        ("boss", "/metrics", 200),
        ("boss", "/v1/nothing-here", 404),
    ],
)
def test_a_key_opens_what_its_scopes_say(guarded: Guarded, name: str, path: str, status: int) -> None:
    answer = guarded.served.client.get(path, headers=guarded.of(name))
    assert answer.status_code == status
    if status == 403:
        scope = "streams" if "streams" in path else "admin"
        assert answer.json()["scope"] == scope
        assert f"needs the scope '{scope}', and the key 'desk' has recognize" in answer.json()["detail"]
        assert f'error="insufficient_scope", scope="{scope}"' in answer.headers["WWW-Authenticate"]


def test_a_key_for_cameras_recognises_no_video(guarded: Guarded, red_video: bytes) -> None:
    assert guarded.post("yard", red_video).status_code == 403
    assert guarded.post("desk", red_video).status_code == 200


def test_head_and_questions_of_browsers_are_answered_as_ever(tmp_path: Path) -> None:
    secrets = key_file(tmp_path / "keys.json", desk={})
    with serving(api_keys_file=tmp_path / "keys.json", allowed_origins=("https://app.example",), ready=False) as served:
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        asked["Access-Control-Request-Headers"] = "authorization"
        allowed = served.client.options("/v1/recognitions", headers=asked)
        assert allowed.status_code == 200
        assert "authorization" in allowed.headers["Access-Control-Allow-Headers"].lower()
        refused = served.client.get("/v1/models", headers={"Origin": "https://app.example"})
        assert refused.status_code == 401
        assert refused.headers["Access-Control-Allow-Origin"] == "https://app.example"
        key = {"Authorization": f"bearer {secrets['desk']}"}
        assert served.client.head("/openapi.json", headers=key).status_code == 200
        assert served.client.head("/openapi.json").status_code == 401


def test_limits_in_requests_are_told_in_headers_and_then_enforced(guarded: Guarded, red_video: bytes) -> None:
    first = guarded.post("few", red_video)
    assert first.headers["RateLimit-Policy"] == '"requests-per-minute";q=2;w=60, "requests-per-day";q=100;w=86400'
    assert re.fullmatch(
        r'"requests-per-minute";r=1;t=\d+, "requests-per-day";r=99;t=\d+', first.headers["RateLimit"]
    ), first.headers["RateLimit"]
    assert guarded.post("few", red_video).status_code == 200
    third = guarded.post("few", red_video)
    assert third.status_code == 429
    problem = third.json()
    assert (problem["type"], problem["limit"]) == ("/problems/quota-exceeded", "requests-per-minute")
    assert 1 <= int(third.headers["Retry-After"]) <= 60
    assert guarded.served.client.get("/v1/models", headers=guarded.of("few")).status_code == 200, "reading is free"
    assert "RateLimit" not in guarded.post("desk", red_video).headers


def test_limits_in_gflops_hold_the_ceiling_back_and_give_back_what_was_not_spent(
    guarded: Guarded, red_video: bytes
) -> None:
    """Of 0.5 a day: 0.18 at most is reserved each time, 0.1 spent where the budget stops at the glance."""
    left = []
    for _ in range(4):
        answer = guarded.post("thrifty", red_video, "?budget_gflops=0.1")
        left.append(answer.headers["RateLimit"])
        assert answer.json()["compute"]["spent_gflops"] == 0.1
    assert answer.headers["RateLimit-Policy"] == '"gflops-per-day";q=0;w=86400;qu="gflops"'
    refused = guarded.post("thrifty", red_video)
    assert refused.status_code == 429
    assert "may use 0.5 GFLOPs a day; 0.1 GFLOPs are left, and this may need 0.18 GFLOPs" in refused.json()["detail"]
    assert guarded.post("thrifty", red_video, "?max_gflops=0.1").json()["compute"]["spent_gflops"] == 0.1
    assert guarded.post("thrifty", red_video, "?max_gflops=0.1").status_code == 429


def test_a_request_that_no_limit_has_room_for_says_what_would_fit(guarded: Guarded, red_video: bytes) -> None:
    answer = guarded.post("tiny", red_video)
    assert (answer.status_code, answer.json()["option"]) == (422, "max_gflops")
    assert "ask for max_gflops=0.15 or less" in answer.json()["detail"]
    assert guarded.post("tiny", red_video, "?max_gflops=0.15").status_code == 200


def test_a_refused_video_gives_its_reservation_back(tmp_path: Path) -> None:
    secrets = key_file(tmp_path / "keys.json", desk={"limits": {"gflops_per_day": 0.2}})
    key = {"Authorization": f"Bearer {secrets['desk']}"}
    with serving(api_keys_file=tmp_path / "keys.json") as served:
        for _ in range(3):
            assert served.post(b"no video at all", **key).status_code == 422


def test_the_report_of_use_is_the_counters_and_the_sum_of_the_answers(tmp_path: Path, red_video: bytes) -> None:
    file = tmp_path / "keys.json"
    secrets = key_file(file, desk={}, door={}, boss={"scopes": ["admin"]})
    keys = {name: {"Authorization": f"Bearer {secret}"} for name, secret in secrets.items()}
    answered: dict[str, list[float]] = {"desk": [], "door": []}
    state = tmp_path / "state"
    with serving(api_keys_file=file, state_dir=state) as served:
        for number in range(9):
            name = "door" if number % 3 == 0 else "desk"
            headers = keys[name] | ({"Accept": "text/event-stream"} if number % 2 else {})
            answer = served.post(red_video, f"?max_gflops={0.1 + 0.04 * (number % 3)}", **headers)
            text = answer.text.rsplit("data: ", 1)[-1].strip() if number % 2 else answer.text
            answered[name].append(json.loads(text)["compute"]["spent_gflops"])
        assert served.post(b"no video", **keys["desk"]).status_code == 422
        report = served.client.get("/v1/usage", headers=keys["boss"]).json()
        told = {one["key"]: one for one in report["usage"]}
        for name in ("desk", "door"):
            total = sum(round(gflops * 1e9) for gflops in answered[name])
            assert round(told[name]["gflops"] * 1e9) == total
            assert told[name]["requests"] == len(answered[name])
            assert served.metric("fovea_key_flops_total", key=name, model="tiny") == total
            assert served.metric("fovea_key_requests_total", key=name, model="tiny") == len(answered[name])
        assert served.metric("fovea_flops_total", model="tiny") == sum(
            round(one["gflops"] * 1e9) for one in told.values()
        )
        own = served.client.get("/v1/usage", headers=keys["desk"]).json()["usage"]
        assert own == [told["desk"]]
    with serving(api_keys_file=file, state_dir=state) as again:
        assert again.client.get("/v1/usage", headers=keys["boss"]).json() == report, "it outlives the process"


@pytest.mark.parametrize("query", ["from=yesterday", "to=2026-02-30", "from=2026-01-02&to=2026-01-01", "day=x",
                                   "from=1000-01-01", "to=2026-01-01&to=2026-01-02"])  # fmt: skip
def test_days_that_cannot_be_are_refused(guarded: Guarded, query: str) -> None:
    answer = guarded.served.client.get(f"/v1/usage?{query}", headers=guarded.of("boss"))
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-option")


def test_days_before_anything_was_used_are_empty(guarded: Guarded) -> None:
    answer = guarded.served.client.get("/v1/usage?from=2020-01-01&to=2020-02-01", headers=guarded.of("boss"))
    assert answer.json() == {"first_day": "2020-01-01", "last_day": "2020-02-01", "usage": []}


def test_keys_see_their_own_cameras_and_admin_sees_all(guarded: Guarded) -> None:
    client = guarded.served.client
    made = client.post("/v1/streams", json={"url": CAMERA, "name": "yard"}, headers=guarded.of("yard"))
    assert made.status_code == 201, made.text
    path = f"/v1/streams/{made.json()['id']}"
    seen = {
        name: client.get("/v1/streams", headers=guarded.of(name)).json()["streams"] for name in ("yard", "gate", "boss")
    }
    assert [len(streams) for streams in seen.values()] == [1, 0, 1]
    for method in ("GET", "DELETE"):
        assert client.request(method, path, headers=guarded.of("gate")).status_code == 404
    assert client.get(path + "/snapshot", headers=guarded.of("gate")).status_code == 404
    assert client.get(path + "/events", headers=guarded.of("gate")).status_code == 404
    same = {"url": CAMERA, "name": "yard", "id": made.json()["id"]}
    assert client.post("/v1/streams", json=same, headers=guarded.of("gate")).status_code == 422
    assert client.get(path, headers=guarded.of("boss")).status_code == 200
    assert client.delete(path, headers=guarded.of("yard")).status_code == 204


def test_no_key_takes_the_cameras_that_are_anothers_share(tmp_path: Path) -> None:
    """Six there may be; by priority two of them are the yard's and four the gate's."""
    secrets = key_file(
        tmp_path / "k", yard={"scopes": ["streams"]}, gate={"scopes": ["streams"], "priority": 2}, desk={}
    )
    with serving(api_keys_file=tmp_path / "k", max_streams=6) as served:
        made = {
            name: [
                served.client.post(
                    "/v1/streams", json={"url": CAMERA}, headers={"Authorization": f"Bearer {secrets[name]}"}
                ).status_code
                for _ in range(5)
            ]
            for name in ("yard", "gate")
        }
    assert made == {"yard": [201, 201, 429, 429, 429], "gate": [201, 201, 201, 201, 429]}


def test_what_the_operator_changes_in_the_file_holds_from_the_next_request_on(tmp_path: Path, red_video: bytes) -> None:
    file = tmp_path / "keys.json"
    secrets = key_file(file, desk={})
    with serving(api_keys_file=file) as served:
        assert served.post(red_video, Authorization=f"Bearer {secrets['desk']}").status_code == 200
        later = key_file(file, door={})
        assert served.post(red_video, Authorization=f"Bearer {later['door']}").status_code == 200
        change_keys(file, lambda kept: [key.model_copy(update={"revoked": True}) for key in kept])
        assert served.post(red_video, Authorization=f"Bearer {secrets['desk']}").status_code == 401


def test_the_log_names_the_key_and_never_holds_it(
    guarded: Guarded, red_video: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        guarded.post("desk", red_video)
        guarded.served.post(red_video, Authorization="Bearer fovea_guessed")
    assert " key=desk model=tiny outcome=ok" in caplog.text
    assert guarded.secrets["desk"] not in caplog.text
    assert "fovea_guessed" not in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "fovea.example"])
def test_listening_beyond_this_machine_without_keys_is_refused_with_the_way_out(host: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"fovea keys add NAME.*FOVEA_API_KEYS_FILE.*FOVEA_OPEN=true.*127\.0\.0\.1"):
        Settings(host=host).check_access()
    Settings(host=host, open=True).check_access()
    Settings(host=host, api_keys_file=tmp_path / "keys.json").check_access()
    Settings(host="127.0.0.1").check_access()
    Settings(host="::1").check_access()


def fovea_command(*arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | variables,
        timeout=60,
        check=False,
    )


def test_a_service_that_would_be_open_to_strangers_does_not_start() -> None:
    done = fovea_command("serve", "--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "FOVEA_HOST=0.0.0.0 lets others reach this service, and it has no keys" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_the_client_asks_with_its_key_or_with_that_of_the_environment(
    guarded: Guarded, red_video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = guarded.served.url
    with fovea.Client(url, api_key=guarded.secrets["desk"]) as client:
        assert client.recognize(red_video).predictions[0].label == "red"
        with pytest.raises(MissingScope, match="streams"):
            client.streams.list()
    with fovea.Client(url, retry_for_s=0) as client, pytest.raises(Unauthenticated, match="asks for a key"):
        client.recognize(red_video)
    monkeypatch.setenv("FOVEA_API_KEY", guarded.secrets["desk"])
    with fovea.Client(url) as client:
        assert client.recognize(red_video).predictions[0].label == "red"
    with fovea.Client(url, api_key=guarded.secrets["mean"], retry_for_s=0) as client:
        assert client.recognize(red_video, max_gflops=0.1).compute.spent_gflops == 0.1
        with pytest.raises(QuotaExceeded) as caught:
            client.recognize(red_video, max_gflops=0.15)
    assert caught.value.retry_after_s


def test_keys_are_made_listed_and_revoked_at_the_command_line(tmp_path: Path, red_video: bytes) -> None:
    file, video = tmp_path / "keys.json", tmp_path / "red.mp4"
    video.write_bytes(red_video)
    made = fovea_command("keys", "add", "desk", "--file", file, "--requests-per-day", 5, "--expires", "2100-01-01")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.split()[-1]
    assert file.stat().st_mode & 0o777 == 0o600
    variables = {"FOVEA_API_KEYS_FILE": str(file)}
    again = fovea_command("keys", "add", "desk", **variables)
    assert (again.returncode, again.stdout) == (2, "")
    assert "has a key 'desk' already" in " ".join(again.stderr.split())
    assert fovea_command("keys", "add", "desk two", **variables).returncode == 2
    assert fovea_command("keys", "add", "other", "--scope", "everything", **variables).returncode == 2
    with serving(api_keys_file=file) as served:
        asked = ("classify", "--server", served.url, "--json", video)
        assert json.loads(fovea_command(*asked, FOVEA_API_KEY=secret).stdout)["predictions"][0]["label"] == "red"
        wrong = fovea_command(*asked, "--api-key", "fovea_wrong")
        assert wrong.returncode == 1
        assert "fovea_wrong" not in wrong.stdout + wrong.stderr
        told = fovea_command("keys", "list", **variables)
        assert re.search(r"desk +recognize +5 a day +no limit +1 +until 2100-01-01", told.stdout), told.stdout
        assert secret not in told.stdout
        assert fovea_command("keys", "revoke", "desk", **variables).returncode == 0
        assert "was revoked" in fovea_command(*asked, FOVEA_API_KEY=secret).stderr
    assert "was revoked" in fovea_command("keys", "list", **variables).stdout
    assert fovea_command("keys", "revoke", "nobody", **variables).returncode == 2
