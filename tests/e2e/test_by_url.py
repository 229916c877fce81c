"""A video by its URL: fetched by the service, from where the policy allows, within limits; secrets stay untold."""

import logging
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest

from service.addresses.names import Names
from service.addresses.policy import AddressPolicy
from service.fetch.source import S3Source, WebSource, parse_source
from tests.conftest import require
from tests.serving import Served, serving
from tests.web_server import Answer, WebServer, s3_settings, said, web_server

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
ANY_PORT = ((1, 65535),)
MAX_BYTES = 2**20


@pytest.fixture(scope="module")
def web(red_video: bytes) -> Iterator[WebServer]:
    with web_server({"/red.mp4": said("200 OK", red_video)}) as server:
        yield server


@pytest.fixture(scope="module")
def fetching() -> Iterator[Served]:
    with serving(
        url_http=True, url_allowed_networks=LOOPBACK, url_ports=ANY_PORT, url_silence_s=1.0, upload_timeout_s=3.0,
        max_upload_bytes=MAX_BYTES, url_s3_buckets=("videos",),
    ) as service:  # fmt: skip
        yield service


@pytest.fixture(scope="module")
def strict() -> Iterator[Served]:
    """As it comes, but for plain http and ports."""
    with serving(url_http=True, url_ports=ANY_PORT) as service:
        yield service


def ask(served: Served, url: object, query: str = "", **options: object) -> httpx.Response:
    return served.client.post(f"/v1/recognitions{query}", json={"url": url, **options})


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    problem = answer.json()
    return answer.status_code, problem["type"].removeprefix("/problems/"), problem["detail"]


def test_a_video_is_fetched_and_recognised_with_options_beside_it(fetching: Served, web: WebServer) -> None:
    answer = ask(fetching, web.url("/red.mp4?session=1"), top_k=1, max_gflops=0.1)
    assert answer.status_code == 200, answer.text
    assert [one["label"] for one in answer.json()["predictions"]] == ["red"]
    assert answer.json()["compute"]["max_gflops"] == 0.1
    assert "GET /red.mp4?session=1 HTTP/1.1" in web.asked[-1]
    assert "Accept-Encoding: identity" in web.asked[-1]
    steps = fetching.client.post(
        "/v1/recognitions", json={"url": web.url("/red.mp4")}, headers={"Accept": "text/event-stream"}
    )
    assert "event: result" in steps.text


def test_redirects_are_followed_and_credentials_stay_with_their_origin(fetching: Served, web: WebServer) -> None:
    web.pages["/there"] = said("302 Found", Location="/red.mp4")
    assert ask(fetching, web.url("/there", credentials="me:pass@")).status_code == 200
    assert "Authorization: Basic bWU6cGFzcw==" in web.asked[-1]
    web.pages["/elsewhere"] = said("307 Temporary Redirect", Location=web.url("/red.mp4", host="localhost"))
    assert ask(fetching, web.url("/elsewhere", credentials="me:pass@")).status_code == 200
    assert "Authorization" not in web.asked[-1]
    web.pages["/round"] = said("302 Found", Location="/round")
    assert "redirects more than 5 times" in refusal(ask(fetching, web.url("/round")))[2]


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:{port}/red.mp4", "http://localhost:{port}/red.mp4", "http://0.0.0.0:{port}/", "http://[::1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/", "http://169.254.169.254/latest/meta-data/", "http://10.0.0.5/x",
    "http://192.168.1.1:8080/x", "http://[fd00:ec2::254]/x", "http://2130706433:{port}/", "http://127.1:{port}/",
    "http://100.64.0.1/", "http://[64:ff9b::7f00:1]/",
])  # fmt: skip
def test_addresses_inside_are_refused_however_they_are_written(strict: Served, web: WebServer, url: str) -> None:
    num_asked = len(web.asked)
    status, slug, detail = refusal(ask(strict, url.format(port=web.port)))
    assert status == 422
    assert slug in {"invalid-option", "url-not-fetched"}
    assert "FOVEA_URL_ALLOWED_NETWORKS" in detail or "does not resolve" in detail
    assert len(web.asked) == num_asked, "nobody was asked"


def test_ports_that_are_not_the_webs_are_refused() -> None:
    with serving(url_http=True, url_allowed_networks=LOOPBACK) as served:
        assert "port 22 is refused: videos are looked for at 80, 443" in refusal(ask(served, "http://127.0.0.1:22/"))[2]


@pytest.mark.parametrize("location", [
    "http://169.254.169.254/latest", "http://10.0.0.5/x", "file:///etc/passwd", "s3://videos/x", "//[fe80::1]/x",
    "ftp://127.0.0.1/x", "http://127.0.0.1:0/", "http://[x/",
])  # fmt: skip
def test_a_redirect_to_a_refused_address_is_refused(fetching: Served, web: WebServer, location: str) -> None:
    web.pages["/away"] = said("302 Found", Location=location)
    status, slug, detail = refusal(ask(fetching, web.url("/away")))
    assert (status, slug) == (422, "invalid-option")
    assert detail.startswith("url: ")


def test_a_name_that_resolves_to_an_inner_address_is_refused_and_asked_once(strict: Served, web: WebServer) -> None:
    """Also where it would resolve to a good one the next time: what is checked is what is connected to."""
    looked_up: list[str] = []

    def rebinding(name: str) -> list[str]:
        looked_up.append(name)
        return ["10.0.0.5"] if len(looked_up) == 1 else ["127.0.0.1"]

    fetcher = strict.app.state.fetcher
    policy = AddressPolicy((), ANY_PORT, private=False, kind="videos", prefix="FOVEA_URL", names=Names(rebinding))
    strict.app.state.fetcher = type(fetcher)(policy, fetcher.limits, http=True)
    try:
        num_asked = len(web.asked)
        status, slug, detail = refusal(ask(strict, web.url("/red.mp4", host="rebound.example")))
    finally:
        strict.app.state.fetcher = fetcher
    assert (status, slug) == (422, "invalid-option")
    assert "rebound.example leads to 10.0.0.5 (a private network" in detail
    assert (looked_up, len(web.asked)) == (["rebound.example"], num_asked)


def stalling(before: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(before)
        threading.Event().wait(4)

    return answer


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def trickling(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x")
        threading.Event().wait(0.2)


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (stalling(b""), 422, "was silent for 1 s (0 bytes had come)"),
        (stalling(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc"), 422, "was silent for 1 s (3 bytes had come)"),
        (trickling, 422, "was not done in 3 s"),
        (endless, 413, "is larger than the 1048576 bytes allowed"),
        (said("200 OK", b"x", Content_Length=2**21), 413, "is larger than the 1048576 bytes allowed"),
        (said("200 OK", b"abc", Content_Length=1000), 422, "broke off, or does not speak HTTP, after"),
        (said("200 OK", b"x" * 100, Content_Length=-5), 422, "does not speak HTTP"),
        (lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"), 422, "does not speak HTTP"),
        (lambda connection: None, 422, "broke off"),
        (said("404 Not Found", b"gone"), 422, "answered 404"),
        (said("206 Partial Content", b"part"), 422, "answered 206"),
        (said("200 OK", b"packed", Content_Encoding="gzip"), 422, "an encoding that was not asked for"),
        (said("200 OK", b"<html>log in</html>", Content_Type="video/mp4"), 422, ""),
        (said("200 OK"), 422, "0 bytes came"),
    ],
)
def test_servers_that_stall_lie_or_never_end_cost_a_bounded_time_and_are_told_apart(
    fetching: Served, web: WebServer, answer: Answer, status: int, told: str
) -> None:
    web.pages["/bad"] = answer
    got = refusal(ask(fetching, web.url("/bad?token=hush")))
    assert got[0] == status, got
    assert told in got[2]
    assert "hush" not in got[2]
    assert fetching.metric("fovea_decode_places_used") == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"url": "ftp://host/x"}, "a URL of scheme 'ftp' is not fetched"),
        ({"url": "file:///etc/passwd"}, "a URL of scheme 'file' is not fetched"),
        ({"url": "https:///x"}, "names no host"),
        ({"url": "https://ho st/x"}, "without blanks"),
        ({"url": "https://host\\@evil/x"}, "without blanks"),
        ({"url": "https://host:x/"}, "host or port cannot be"),
        ({"url": "https://h/" + "x" * 5000}, "longer than 4096"),
        ({"url": "s3://videos"}, "reads s3://bucket/key"),
        ({"url": "s3://secrets/x.mp4"}, "FOVEA_URL_S3_BUCKETS"),
        ({"url": 5}, "is not fetched here"),
        ({}, "says no url"),
        ({"url": None}, "says no url"),
        ([], "says no url"),
        ({"url": "https://h/x", "budget": 3}, "there is no option 'budget'"),
        ({"url": "https://h/x", "top_k": {"a": 1}}, "neither a text, a number nor a list"),
    ],
)
def test_bodies_and_urls_that_cannot_be_are_refused_with_a_rule(fetching: Served, body: object, told: str) -> None:
    answer = fetching.client.post("/v1/recognitions", json=body)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


def test_plain_http_has_to_be_allowed(served: Served) -> None:
    assert "plain http is not fetched here" in refusal(ask(served, "http://example.org/x"))[2]


def test_a_body_that_is_no_json_says_so(fetching: Served) -> None:
    answer = fetching.client.post("/v1/recognitions", content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, "is no JSON" in answer.json()["detail"]) == (422, True)


def test_nothing_secret_of_a_url_is_told_or_logged(
    fetching: Served, web: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    web.pages["/gone"] = said("404 Not Found")
    with caplog.at_level(logging.DEBUG):
        for path in ("/red.mp4", "/gone"):
            answer = ask(fetching, web.url(f"{path}?X-Amz-Signature=hush1", credentials="me:hush2@"))
            assert "hush" not in answer.text
    told = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("service"))
    assert f"fetching http://127.0.0.1:{web.port}/red.mp4?***" in told
    assert "hush" not in caplog.text


def test_a_client_that_leaves_ends_the_fetch(fetching: Served, web: WebServer) -> None:
    web.pages["/slow"] = trickling
    with pytest.raises(httpx.ReadTimeout):
        fetching.client.post("/v1/recognitions", json={"url": web.url("/slow")}, timeout=0.5)
    fetching.wait_for_metric(0, "fovea_decode_places_used")


def test_a_timelines_video_is_fetched_within_the_limits_of_timelines(web: WebServer, red_video: bytes) -> None:
    with serving(
        url_http=True, url_allowed_networks=LOOPBACK, url_ports=ANY_PORT, max_upload_bytes=len(red_video) - 1
    ) as served:
        assert ask(served, web.url("/red.mp4")).status_code == 413
        answer = served.client.post("/v1/timelines", json={"url": web.url("/red.mp4")})
        assert (answer.status_code, answer.json()["segments"][0]["label"]) == (200, "red"), answer.text


def test_a_client_that_leaves_gives_its_timelines_place_back_while_the_video_is_fetched(web: WebServer) -> None:
    web.pages["/slow"] = trickling
    with serving(
        url_http=True, url_allowed_networks=LOOPBACK, url_ports=ANY_PORT, upload_timeout_s=600.0,
        min_upload_bytes_per_s=1,
    ) as served:  # fmt: skip
        with pytest.raises(httpx.ReadTimeout):
            served.client.post("/v1/timelines", json={"url": web.url("/slow")}, timeout=1.0)
        served.wait_for_metric(1, "fovea_timeline_requests_total", model="tiny", outcome="cancelled")
        assert served.metric("fovea_timelines_running") == 0


def test_https_is_believed_with_a_certificate_of_a_known_authority_alone(tmp_path: Path, red_video: bytes) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], capture_output=True, check=False,
    )  # fmt: skip
    require(done.returncode == 0, "openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(65536)
                    said("200 OK", red_video)(secure)  # type: ignore[arg-type]
            except OSError:
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        url = f"https://localhost:{listener.getsockname()[1]}/red.mp4"
        with serving(url_allowed_networks=LOOPBACK, url_ports=ANY_PORT) as served:
            assert "has no certificate that is believed" in refusal(ask(served, url))[2]
        with serving(url_allowed_networks=LOOPBACK, url_ports=ANY_PORT, url_ca_file=certificate) as served:
            answer = ask(served, url)
        assert answer.status_code == 200, answer.text
        thread.join(10)


def test_an_object_of_s3_is_fetched_from_a_bucket_that_was_named(
    fetching: Served, web: WebServer, red_video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore")
    for name, value in s3_settings(web).items():
        monkeypatch.setenv(name, value)
    dates = {"ETag": '"1"', "Last_Modified": "Fri, 27 Nov 2026 20:00:00 GMT"}
    web.pages["/videos/a/red.mp4"] = said("200 OK", red_video, **dates)
    answer = ask(fetching, "s3://videos/a/red.mp4")
    assert answer.status_code == 200, answer.text
    assert "AWS4-HMAC-SHA256" in web.asked[-1]
    assert "range: bytes=" not in web.asked[-1].lower(), "what comes at once has no part that should come first"
    web.pages["/videos/large"] = said("200 OK", b"x" * (MAX_BYTES + 1), **dates)
    assert refusal(ask(fetching, "s3://videos/large"))[0] == 413
    status, slug, detail = refusal(ask(fetching, "s3://videos/nothing"))
    assert (status, slug, "NotFound" in detail) == (422, "url-not-fetched", True)


def test_a_url_is_shown_without_its_secrets() -> None:
    source = parse_source("https://me:pass@Host.example:8443/a%20b/c.mp4?token=x")
    assert isinstance(source, WebSource)
    assert str(source) == "https://host.example:8443/a%20b/c.mp4?***"
    assert "pass" not in repr(source)
    assert "token" not in repr(source)
    assert parse_source("s3://videos/a/b.mp4") == S3Source("videos", "a/b.mp4")
