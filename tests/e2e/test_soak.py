"""Request after request, the process stays as it was."""

import os
import threading

import psutil
import pytest

from tests.conftest import STRICT
from tests.serving import serving

WARM_UP = 50
REQUESTS = 5_000 if os.environ.get(STRICT) == "1" else 400  # a minute, or a few seconds


@pytest.mark.timeout(600)
def test_nothing_grows_with_the_number_of_requests(red_video: bytes) -> None:
    process = psutil.Process()

    def holds() -> tuple[int, int, int]:
        return process.num_fds(), threading.active_count(), len(process.children(recursive=True))

    with serving(decode_children=2) as served:

        def post(count: int) -> None:
            for number in range(count):
                accept = "text/event-stream" if number % 4 == 0 else "application/json"
                body, status = (b"no video", 422) if number % 10 == 9 else (red_video, 200)
                assert served.post(body, Accept=accept).status_code == status

        post(WARM_UP)
        held, before_bytes = holds(), process.memory_info().rss
        post(REQUESTS)
        assert holds() == held, "files, threads, processes"
        assert process.memory_info().rss - before_bytes < 8 * 2**20
        served.wait_for_metric(0, "fovea_requests_waiting")
        served.wait_for_metric(0, "fovea_requests_running")
