"""A camera that says "moved": libav follows it before anyone can ask, so nothing of what is there may be shown."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cameras import camera
from tests.serving import Served
from tests.streaming import following, subscribe

from .conftest import FPS, footage


@contextmanager
def redirecting(target: str) -> Iterator[str]:
    """The URL of an RTSP server that answers every request with `target`."""

    class Moved(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            number = b""
            for line in self.rfile:
                if line.lower().startswith(b"cseq:"):
                    number = line.strip()
                if line == b"\r\n":
                    self.wfile.write(b"RTSP/1.0 302 Found\r\n%s\r\nLocation: %s\r\n\r\n" % (number, target.encode()))
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Moved) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"rtsp://127.0.0.1:{server.server_address[1]}/cam"
        server.shutdown()
        thread.join()


def test_where_a_camera_is_said_to_have_moved_is_not_looked_at(watching: Served) -> None:
    with camera(footage(), address="127.0.0.2", fps=FPS) as elsewhere, redirecting(elsewhere.url()) as url:
        stream = subscribe(watching.client, url, window_s=1.0, stride_s=1.0)
        with following(watching.client, stream) as follower:
            told = follower.wait_for(lambda one: one.name == "state" and one.data["error"] is not None, 30.0)
        assert told.data["error"]["error_class"] == "address"
        assert "127.0.0.2" in told.data["error"]["detail"]
        assert not any(one.name == "result" for one in follower.heard)
        assert watching.client.delete(f"/v1/streams/{stream}").status_code == 204


def test_a_camera_that_moved_on_the_same_address_is_followed(watching: Served) -> None:
    with camera(footage(), fps=FPS) as elsewhere, redirecting(elsewhere.url()) as url:
        stream = subscribe(watching.client, url, window_s=1.0, stride_s=1.0)
        with following(watching.client, stream) as follower:
            follower.wait_for_result()
        assert watching.client.delete(f"/v1/streams/{stream}").status_code == 204
