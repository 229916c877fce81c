"""What cannot be subscribed to is refused with a sentence, nothing is started, and no password is ever told."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cameras import camera
from tests.serving import Served, serving
from tests.streaming import following, subscribe

from .conftest import FPS, LOOPBACK, footage

JSON = {"Content-Type": "application/json"}
GOOD = {"url": "rtsp://192.0.2.7/x"}
SECRET = "hunter2-Zq9"


@pytest.fixture(scope="module")
def strict() -> Iterator[Served]:
    """A service that allows no address beyond what it does by itself."""
    with serving(max_streams=3, max_stream_followers=1, max_window_s=60) as service:
        yield service


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "http://camera/x"}, "'http' is no camera's"),
        ({"url": "file:///etc/passwd"}, "'file' is no camera's"),
        ({"url": "concat:rtsp://a/|rtsp://b/"}, "'concat' is no camera's"),
        ({"url": "subfile,,start,0,end,9,,:/etc/passwd"}, "no camera's"),
        ({"url": "rtsp://127.0.0.1/x"}, "is refused"),
        ({"url": "rtsp://localhost/x"}, "is refused"),
        ({"url": "rtsp://[::ffff:7f00:1]/x"}, "is refused"),
        ({"url": "rtsp://169.254.169.254/latest"}, "is refused"),
        ({"url": f"rtsp://camera/x?user=me&password={SECRET}"}, "its query holds credentials"),
        ({"url": ""}, "no camera's"),
        ({"url": None}, "url"),
        ({"url": "rtsp://c/" + "x" * 5000}, "2048"),
        ({"window_s": 61}, "longer than the 60 s"),
        ({"window_s": 0.001}, "too short for 4 frames"),
        ({"window_s": 0}, "window_s"),
        ({"stride_s": 0}, "stride_s"),
        ({"stride_s": -1}, "stride_s"),
        ({"stride_s": 1e9}, "longer than"),
        ({"budget_gflops": -1}, "budget_gflops"),
        ({"budget_gflops": 0.01}, "0.1 GFLOPs that the first step"),
        ({"max_gflops": 0.01}, "0.1 GFLOPs that the first step"),
        ({"budget_gflops": "NaN"}, "budget_gflops"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 101}, "from 1 to 100"),
        ({"min_score": 1.1}, "min_score"),
        ({"on": "sometimes"}, "'result' or 'change'"),
        ({"decode": "none"}, "decode"),
        ({"transport": "pigeon"}, "transport"),
        ({"ttl_s": 0}, "ttl_s"),
        ({"model": "nobody"}, "not loaded here"),
        ({"task": "nothing"}, "no trained model answers task"),
        ({"windows_s": 3}, "the options are: url"),
    ],
)
def test_an_option_that_cannot_be_is_refused(strict: Served, change: dict[str, object], said: str) -> None:
    answer = strict.client.post("/v1/streams", json=GOOD | change)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert SECRET not in answer.text
    assert nothing_started(strict)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"rtsp://camera/"', b"{}", b"\xff\xfe", b"null"])
def test_a_body_that_is_no_object_of_options_is_refused(strict: Served, body: bytes) -> None:
    answer = strict.client.post("/v1/streams", content=body, headers=JSON)
    assert answer.status_code == 422
    assert nothing_started(strict)


def test_a_body_that_goes_on_and_on_is_refused(strict: Served) -> None:
    assert strict.client.post("/v1/streams", content=b" " * 100_000, headers=JSON).status_code == 413


def test_options_in_the_query_are_refused_because_queries_are_logged(strict: Served) -> None:
    answer = strict.client.post("/v1/streams", params={"url": f"rtsp://me:{SECRET}@camera/"}, json=GOOD)
    assert answer.status_code == 422
    assert "queries are logged" in answer.json()["detail"]
    assert SECRET not in answer.text


@pytest.mark.parametrize("last_id", ["yesterday", "1-2-3", "-1", "9" * 50 + "-0"])
def test_an_id_that_is_none_of_ours_is_refused(watching: Served, last_id: str) -> None:
    stream = subscribe(watching.client, "rtsp://127.0.0.1:1/x")
    answer = watching.client.get(f"/v1/streams/{stream}/events", headers={"Last-Event-ID": last_id})
    assert answer.status_code == 422
    assert "1764036000123-0" in answer.json()["detail"]
    watching.client.delete(f"/v1/streams/{stream}")


def test_ten_thousand_subscriptions_are_as_many_as_there_may_be(strict: Served) -> None:
    answers = [strict.client.post("/v1/streams", json=GOOD) for _ in range(300)]
    made = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert len(made) == 3
    assert {answer.status_code for answer in refused} == {429}
    assert "FOVEA_MAX_STREAMS" in refused[0].json()["detail"]
    assert len(strict.client.get("/v1/streams").json()["streams"]) == 3
    with following(strict.client, made[0]) as follower:
        assert follower.next() is not None
        assert strict.client.get(f"/v1/streams/{made[0]}/events").status_code == 429
    for stream in made:
        assert strict.client.delete(f"/v1/streams/{stream}").status_code == 204


def test_what_the_api_says_of_itself_refers_to_nothing_that_is_not_there(strict: Served) -> None:
    described = strict.client.get("/openapi.json").text
    components = json.loads(described)["components"]["schemas"]
    referred = set(re.findall(r'"\$ref": ?"([^"]*)"', described))
    assert referred
    assert referred <= {f"#/components/schemas/{name}" for name in components}


def test_a_password_is_told_nowhere(watching: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Not in answers, events, metrics, logs, or the list of processes; neither of a good camera nor of a bad one."""
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    login = {"user": "viewer", "password": SECRET}
    with camera(footage(), fps=FPS, auth=login) as good, camera(footage(), fps=FPS, auth={**login, "user": "x"}) as bad:
        urls = (good.url(credentials=f"viewer:{SECRET}"), bad.url(credentials=f"viewer:{SECRET}"))
        streams = []
        for url in (*urls, f"rtsp://viewer:{SECRET}@127.0.0.1:1/x", f"rtsp://viewer:{SECRET}@nobody.invalid/x"):
            answer = watching.client.post("/v1/streams", json={"url": url, "window_s": 2, "stride_s": 0.5})
            told.append(answer.text)
            streams.append(answer.json()["id"])
        for stream, state in zip(streams, ("live", *["reconnecting"] * 3), strict=True):
            with following(watching.client, stream, "0-0") as follower:
                follower.wait_for_state(state)
                told += [json.dumps(heard.data) for heard in follower.heard]
            told.append(watching.client.get(f"/v1/streams/{stream}").text)
        told += [watching.client.get(path).text for path in ("/v1/streams", "/metrics", "/openapi.json")]
        family = psutil.Process().children(recursive=True)
        ours = [child for child in family if "video.children" in " ".join(child.cmdline())]
        assert ours
        told += [" ".join(child.cmdline()) + str(child.environ()) for child in ours]
        for stream in streams:
            watching.client.delete(f"/v1/streams/{stream}")
    told += [record.getMessage() for record in caplog.records]
    assert not [text for text in told if SECRET in text]
    assert [text for text in told if "***@127.0.0.1" in text]


def test_a_camera_whose_certificate_is_unknown_is_not_believed(tmp_path: Path) -> None:
    certificate = own_certificate(tmp_path)
    with camera(footage(), fps=FPS, tls=str(certificate)) as cam:
        url = cam.url(scheme="rtsps")
        with serving(stream_allowed_networks=LOOPBACK) as service:
            stream = subscribe(service.client, url)
            with following(service.client, stream, "0-0") as follower:
                heard = follower.wait_for_state("reconnecting")
            assert heard.data["error"]["error_class"] == "tls"
        with serving(stream_allowed_networks=LOOPBACK, stream_ca_file=certificate) as service:
            stream = subscribe(service.client, url)
            with following(service.client, stream, "0-0") as follower:
                follower.wait_for_result()


def own_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one PEM file."""
    import subprocess  # noqa: PLC0415

    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_text(certificate.read_text() + key.read_text())
    return both


def nothing_started(service: Served) -> bool:
    listed = service.client.get("/v1/streams").json()["streams"] == []
    family = psutil.Process().children(recursive=True)
    return listed and not [child for child in family if "camera_child" in " ".join(child.cmdline())]


def test_a_method_that_a_path_does_not_take_is_refused_with_all_that_it_takes(watching: Served) -> None:
    refused = watching.client.put("/v1/streams")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, POST")
    assert watching.client.put("/v1/streams/str_1").headers["allow"] == "GET, HEAD, DELETE"
