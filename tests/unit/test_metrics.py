"""Metrics: well-formed, bounded, and equal to what they are told."""

import shutil
import subprocess

import numpy as np

from fovea.words import ExitReason
from models.recognizer import Cube
from service.engine.request import Plan, Recognition, Step, Timing
from service.metrics import Metrics
from tests.conftest import require
from video.clip import Clip, VideoInfo


def a_recognition() -> Recognition:
    plan = Plan("tiny", (100, 50, 30), (0.1, 0.1), 100, None, None, 5)
    clip = Clip(
        np.zeros((1, 2, 2, 3), np.uint8), (0.0,), np.float32([[0, 0, 1, 1]]), VideoInfo(1.0, 2, 2, "h264", 1, 1)
    )
    steps = (
        Step(0, 100, 0.6, np.float32([0.5, 0.5]), None),
        Step(1, 50, 0.05, np.float32([0.9, 0.1]), Cube(0, 0, 0, 1, 2, 2)),
    )
    return Recognition("rec_1", plan, ("a", "b"), steps, ExitReason.CONFIDENT, clip, Timing(0.1, 0.2, 0.5, 0.1, 0.9))


def used_metrics() -> Metrics:
    metrics = Metrics()
    metrics.recognized(a_recognition())
    metrics.finished("tiny", "ok", 0.2)
    metrics.batch_ran("glance", 3, 0.01)
    metrics.batch_ran("focus", 2, 0.01)
    metrics.flops_total.labels(model="tiny").inc(150)
    metrics.http_server_request_duration_seconds.labels("GET", "/livez", "200").observe(0.001)
    return metrics


def test_an_answer_is_counted_as_it_says_of_itself() -> None:
    value = used_metrics().registry.get_sample_value
    assert value("fovea_request_flops_sum", {"model": "tiny"}) == 150
    assert value("fovea_budget_used_ratio_sum") == 1.5
    assert value("fovea_cubes_used_sum") == 1
    assert value("fovea_exits_total", {"model": "tiny", "reason": "confident"}) == 1
    assert value("fovea_queue_wait_seconds_sum") == 0.5


def test_a_request_is_counted_once_by_how_it_ended() -> None:
    value = used_metrics().registry.get_sample_value
    assert value("fovea_requests_total", {"model": "tiny", "outcome": "ok"}) == 1
    assert value("fovea_request_duration_seconds_count") == 1


def test_the_format_is_the_scraper_s_choice_and_declared() -> None:
    text, declared = Metrics().exposition("text/plain")
    assert declared.startswith("text/plain; version=")
    openmetrics, declared = Metrics().exposition("application/openmetrics-text; version=1.0.0")
    assert declared.startswith("application/openmetrics-text")
    assert openmetrics.endswith(b"# EOF\n")
    assert not text.endswith(b"# EOF\n")


def test_two_applications_do_not_share_counters() -> None:
    used_metrics()
    assert Metrics().registry.get_sample_value("fovea_request_duration_seconds_count") == 0


def test_promtool_finds_nothing_to_complain_about() -> None:
    promtool = shutil.which("promtool")
    require(promtool is not None, "promtool (Debian package `prometheus`)")
    assert promtool is not None
    exposition, _ = used_metrics().exposition()
    check = subprocess.run(
        [promtool, "check", "metrics"], input=exposition, capture_output=True, timeout=30, check=False
    )
    assert (check.returncode, check.stdout + check.stderr) == (0, b"")
