"""What strangers send: foreign hosts and pages, endless headers, clients that say less or more than they should."""

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.serving import Served, serving


@contextmanager
def connected(served: Served) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
        yield client


def everything(client: socket.socket) -> bytes:
    """What the service sends until it closes; a reset ends it, too."""
    answer = b""
    try:
        while chunk := client.recv(2**16):
            answer += chunk
    except ConnectionResetError:
        pass
    return answer


def is_cut_off(client: socket.socket, meanwhile: Callable[[], object]) -> bool:
    """Whether the service closes the connection while we send on. It reads on for two seconds after its answer."""
    give_up_s = time.monotonic() + 20
    try:
        while time.monotonic() < give_up_s:
            client.sendall(b"x" * 2**16)
            meanwhile()
    except OSError:
        return True
    return False


class TestHosts:
    @pytest.mark.parametrize(
        "host", ["localhost", "LocalHost:8000", "127.0.0.1:1", "[::1]:8000", "10.1.2.3", "fovea.localhost:80"]
    )
    def test_local_names_and_addresses_are_answered(self, served: Served, host: str) -> None:
        assert served.client.get("/livez", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8000", "127.0.0.1.evil.example", ""])
    def test_a_name_that_somebody_made_point_here_is_not(self, served: Served, host: str) -> None:
        answer = served.client.get("/v1/models", headers={"Host": host})
        assert (answer.status_code, answer.json()["type"]) == (421, "/problems/unknown-host")
        assert "FOVEA_ALLOWED_HOSTS" in answer.json()["detail"]

    def test_names_are_a_setting(self) -> None:
        with serving(allowed_hosts=("fovea.example.org",), ready=False) as served:
            assert served.client.get("/livez", headers={"Host": "Fovea.example.org:443"}).status_code == 200
            assert served.client.get("/livez", headers={"Host": "other.example.org"}).status_code == 421
        with serving(allowed_hosts=("*",), ready=False) as served:
            assert served.client.get("/livez", headers={"Host": "whatever.example"}).status_code == 200

    def test_a_client_from_before_hosts_is_answered(self, served: Served) -> None:
        with connected(served) as client:
            client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            assert everything(client).startswith(b"HTTP/1.1 200")


class TestOrigins:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},  # another service on the same machine is a stranger, too
            {"Sec-Fetch-Site": "cross-site"},
        ],
    )
    @pytest.mark.parametrize(("method", "path"), [("POST", "/v1/recognitions"), ("DELETE", "/v1/streams/str_1")])
    def test_a_foreign_page_changes_nothing(
        self, served: Served, red_video: bytes, headers: dict[str, str], method: str, path: str
    ) -> None:
        answer = served.client.request(method, path, content=red_video, headers=headers | {"Content-Type": "video/mp4"})
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/foreign-origin")

    def test_the_service_s_own_page_and_programs_may(self, served: Served, red_video: bytes) -> None:
        assert served.post(red_video).status_code == 200
        own = served.post(red_video, Origin=served.url, **{"Sec-Fetch-Site": "same-origin"})
        assert own.status_code == 200

    def test_reading_is_let_through_for_the_browser_s_own_rule_to_stop(self, served: Served) -> None:
        answer = served.client.get("/v1/models", headers={"Origin": "https://evil.example"})
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"

    def test_an_origin_that_is_allowed_may_ask_and_read(self, red_video: bytes) -> None:
        app = "https://app.example.org"
        with serving(allowed_origins=(app,)) as served:
            answer = served.post(red_video, Origin=app, **{"Sec-Fetch-Site": "cross-site"})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, app)
            preflight = served.client.options(
                "/v1/streams/str_1", headers={"Origin": app, "Access-Control-Request-Method": "DELETE"}
            )
            assert "DELETE" in preflight.headers["access-control-allow-methods"]
            other = served.post(red_video, Origin="https://other.example.org")
            assert (other.status_code, other.headers.get("access-control-allow-origin")) == (403, None)

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", None]
    )
    def test_what_a_form_can_send_creates_no_stream(self, served: Served, content_type: str | None) -> None:
        headers = {} if content_type is None else {"Content-Type": content_type}
        body = json.dumps({"url": "rtsp://10.0.0.1/cam"})
        answer = served.client.post("/v1/streams", content=body, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")
        assert served.client.get("/v1/streams").json()["streams"] == []

    @pytest.mark.parametrize("path", ["/v1/models", "/livez", "/v1/models/nobody", "/", "/openapi.json", "/metrics"])
    def test_every_answer_says_that_it_is_what_it_says_and_for_whom(self, served: Served, path: str) -> None:
        headers = served.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


class TestHead:
    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/v1/models", "/v1/models/tiny", "/", "/nobody"])
    def test_it_answers_as_get_does_without_the_body(self, served: Served, path: str) -> None:
        head, get = served.client.head(path), served.client.get(path)
        assert head.status_code == get.status_code
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.content == b""

    def test_a_path_without_get_names_what_it_takes(self, served: Served) -> None:
        answer = served.client.head("/v1/recognitions")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert served.client.put("/v1/models").headers["allow"] == "GET, HEAD"


class TestHeads:
    """Limits on what stands before a body."""

    def test_one_endless_header_is_refused_and_nobody_else_waits(self, served: Served) -> None:
        with connected(served) as client:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ")
            assert is_cut_off(client, meanwhile=lambda: served.client.get("/livez").raise_for_status())

    @pytest.mark.parametrize(
        "headers",
        [b"X: " + b"y" * 40_000, b"\r\n".join(b"X-%d: y" % number for number in range(101))],
        ids=["too long", "too many"],
    )
    def test_the_refusal_names_both_limits(self, served: Served, headers: bytes) -> None:
        with connected(served) as client:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n\r\n")
            answer = everything(client)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large")
        problem = json.loads(body)
        assert (problem["type"], problem["status"]) == ("/problems/headers-too-large", 431)
        assert (problem["max_bytes"], problem["max_headers"]) == (32768, 100)

    def test_an_endless_trailer_is_refused_as_well(self, served: Served) -> None:
        with connected(served) as client:
            head = "POST /v1/recognitions HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\n"
            client.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: ".encode())
            assert is_cut_off(client, meanwhile=lambda: time.sleep(0.01))

    def test_headers_that_do_not_end_are_not_waited_for(self) -> None:
        with serving(header_timeout_s=0.5, ready=False) as served, connected(served) as client:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n")
            answer = everything(client)
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"were not complete after 0.5 s" in answer

    @pytest.mark.parametrize(
        "sent", [b"", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["new", "after an answer"]
    )
    def test_an_idle_connection_is_closed(self, sent: bytes) -> None:
        with serving(header_timeout_s=0.5, idle_timeout_s=1, ready=False) as served, connected(served) as client:
            client.sendall(sent)
            answer = everything(client)  # ends when the service closes
            assert answer.startswith(b"HTTP/1.1 200") if sent else answer == b""

    def test_what_browsers_and_proxies_send_is_taken(self, served: Served) -> None:
        headers = {f"X-Forwarded-{number}": "v" * 200 for number in range(60)} | {"Cookie": "c" * 8000}
        assert served.client.get("/livez", headers=headers).status_code == 200


class TestBodies:
    def test_a_client_that_half_closes_after_its_body_gets_its_answer(self, served: Served, red_video: bytes) -> None:
        for version in ("1.1", "1.0"):
            with connected(served) as client:
                head = f"POST /v1/recognitions HTTP/{version}\r\nHost: localhost\r\nContent-Type: video/mp4\r\n"
                client.sendall(f"{head}Content-Length: {len(red_video)}\r\n\r\n".encode() + red_video)
                client.shutdown(socket.SHUT_WR)
                answer = everything(client).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
                assert b'"predictions"' in answer

    def test_fields_after_the_file_are_heeded(self, served: Served, red_video: bytes) -> None:
        form = {"video": ("a.mp4", red_video), "top_k": (None, "1"), "budget_gflops": (None, "0.1")}
        answer = served.client.post("/v1/recognitions", files=form)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["predictions"]) == 1
        assert answer.json()["compute"]["budget_gflops"] == 0.1
        assert served.metric("fovea_reserved_flops") == 0

    @pytest.mark.parametrize(
        ("query", "field", "status"), [("?top_k=2", "2", 200), ("?top_k=2", "3", 422), ("", "0", 422)]
    )
    def test_a_field_after_the_file_is_as_strict_as_any(
        self, served: Served, red_video: bytes, query: str, field: str, status: int
    ) -> None:
        form = {"video": ("a.mp4", red_video), "top_k": (None, field)}
        answer = served.client.post(f"/v1/recognitions{query}", files=form)
        assert answer.status_code == status, answer.text

    def test_a_compressed_upload_is_recognised(self, served: Served, red_video: bytes) -> None:
        plain, packed = served.post(red_video), served.post(gzip.compress(red_video), **{"Content-Encoding": "gzip"})
        assert packed.status_code == 200, packed.text
        assert packed.json()["predictions"] == plain.json()["predictions"]
        refused = served.post(red_video, **{"Content-Encoding": "br"})
        assert refused.status_code == 415
        assert "'br'" in refused.json()["detail"]

    def test_a_body_that_trickles_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("service.api.body.body.GRACE_S", 0.2)
        with serving(min_upload_bytes_per_s=1_000_000) as served, connected(served) as client:
            head = "POST /v1/recognitions HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\n"
            client.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode())
            for _ in range(50):
                time.sleep(0.1)
                try:
                    client.sendall(b"x")
                except OSError:
                    break
                client.setblocking(False)
                try:
                    if client.recv(1, socket.MSG_PEEK):
                        break
                except BlockingIOError:
                    pass
                finally:
                    client.setblocking(True)
            client.settimeout(30)
            client.shutdown(socket.SHUT_WR)
            answer = everything(client)
            assert answer.startswith(b"HTTP/1.1 408"), answer
            assert b"1000000 are the least" in answer


def test_followers_are_counted_whatever_ids_they_choose() -> None:
    with serving(max_stream_followers=2, stream_allowed_networks=("127.0.0.0/8",)) as served, ExitStack() as held:
        stream = served.client.post("/v1/streams", json={"url": "rtsp://127.0.0.1:9554/nobody"}).json()["id"]
        for _ in range(2):
            client = held.enter_context(httpx.Client(base_url=served.url, trust_env=False, timeout=30))
            following = client.stream("GET", f"/v1/streams/{stream}/events", headers={"X-Request-ID": "same"})
            assert held.enter_context(following).status_code == 200
        third = served.client.get(f"/v1/streams/{stream}/events", headers={"X-Request-ID": "same"})
        assert (third.status_code, third.json()["type"]) == (429, "/problems/overloaded")


def test_the_end_of_an_event_stream_s_sending_client_is_its_end() -> None:
    """A follower that hangs up gives its place back at once, though half-closed uploads are waited for."""
    with serving(max_stream_followers=1, stream_allowed_networks=("127.0.0.0/8",)) as served:
        stream = served.client.post("/v1/streams", json={"url": "rtsp://127.0.0.1:9554/nobody"}).json()["id"]
        for _ in range(3):
            give_up_s = time.monotonic() + 30
            while True:
                with served.client.stream("GET", f"/v1/streams/{stream}/events") as follower:
                    if follower.status_code == 200:
                        break
                assert time.monotonic() < give_up_s, "the place was never given back"
                time.sleep(0.05)
