"""A problem becomes the error that it was in the service; anything else is named for what it is."""

import httpx
import pytest

from fovea._problems import error_of, error_of_problem, problem_in
from fovea.errors import BudgetTooSmall, FoveaError, Overloaded, ServerProblem, every_kind
from service.api.edge.problems import response_to

URL = "http://127.0.0.1:1/v1/recognitions"


def answer_to(error: FoveaError) -> httpx.Response:
    """What a client receives for an error of the service."""
    response = response_to(error, "req_1")
    headers = {name.decode(): value.decode() for name, value in response.raw_headers}
    content = bytes(response.body)
    return httpx.Response(response.status_code, headers=headers, content=content, request=httpx.Request("POST", URL))


@pytest.mark.parametrize("kind", [kind for kind in every_kind() if kind is not FoveaError])
def test_every_error_of_the_service_is_raised_as_itself(kind: type[FoveaError]) -> None:
    assert type(error_of(answer_to(kind("the value, the rule, the way out")))) is kind


def test_the_words_the_facts_and_the_request_s_name_come_along() -> None:
    error = error_of(answer_to(BudgetTooSmall("too small", option="max_gflops", least_gflops=0.4)))
    assert (str(error), error.title) == ("too small", BudgetTooSmall.title)
    assert error.extra == {
        "type": "/problems/budget-too-small",
        "status": 422,
        "instance": "urn:fovea:request:req_1",
        "option": "max_gflops",
        "least_gflops": 0.4,
    }


def test_when_to_try_again_comes_along() -> None:
    assert error_of(answer_to(Overloaded("full", retry_after_s=2.4))).retry_after_s == 3


def test_a_problem_of_a_newer_service_keeps_its_words() -> None:
    error = error_of_problem({"type": "/problems/moon-phase", "title": "Wrong moon", "detail": "wait", "status": 409})
    assert isinstance(error, ServerProblem)
    assert (str(error), error.extra["type"]) == ("Wrong moon: wait", "/problems/moon-phase")


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "{}", "[]", '{"detail": 3}'])
def test_what_is_no_problem_is_said_to_come_from_elsewhere(body: str) -> None:
    headers = {"Content-Type": "application/problem+json", "Retry-After": "7"}
    for status, retry_after_s in ((503, 7), (502, None)):
        answer = httpx.Response(status, headers=headers, text=body, request=httpx.Request("POST", URL))
        error = error_of(answer)
        assert isinstance(error, ServerProblem)
        assert f"{URL} answered {status} without a problem text" in str(error)
        assert error.retry_after_s == retry_after_s, "a proxy may say when, but only of what is worth asking again"


@pytest.mark.parametrize("data", ["", "no JSON", "[1]"])
def test_an_unreadable_problem_event_is_an_error_all_the_same(data: str) -> None:
    assert isinstance(problem_in(data, URL), ServerProblem)
