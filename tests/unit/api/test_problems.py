"""Every error has its answer, and says no more than it should."""

import json

import pytest

from fovea import errors
from fovea.errors import FoveaError, every_kind
from service.api.edge.problems import problem_of, response_to
from service.api.edge.statuses import ANSWERS, answer_to

EVERY_ERROR = every_kind()


@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_status_and_outcome_of_every_error_agree(kind: type[FoveaError]) -> None:
    answer = answer_to(kind("no"))
    expected = {
        "invalid": {*range(400, 429), 431},
        "rejected": (429, 503),
        "expired": (503,),
        "cancelled": (499,),
        "error": (500,),
    }
    assert answer.status in expected[answer.outcome]


def test_slugs_are_stable_and_unique() -> None:
    slugs = [kind.slug for kind in EVERY_ERROR]
    assert len(set(slugs)) == len(slugs)
    assert all(slug == slug.lower() and " " not in slug for slug in slugs)


def test_only_our_own_faults_are_500() -> None:
    assert {kind for kind in EVERY_ERROR if answer_to(kind("")).status == 500} == {FoveaError, errors.InferenceFailed}
    assert set(ANSWERS) <= set(EVERY_ERROR)


def test_a_problem_holds_what_rfc_9457_asks_for_and_the_facts() -> None:
    error = errors.BudgetTooSmall("too small", option="budget_gflops", least_gflops=0.4, nothing=None)
    assert problem_of(error, "req_1") == {
        "type": "/problems/budget-too-small",
        "title": "The budget is below the cheapest answer",
        "status": 422,
        "detail": "too small",
        "instance": "urn:fovea:request:req_1",
        "option": "budget_gflops",
        "least_gflops": 0.4,
    }


def test_try_again_later_says_when_in_whole_seconds() -> None:
    response = response_to(errors.Overloaded("full", retry_after_s=2.1), "req_1")
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "3"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert json.loads(bytes(response.body))["retry_after_s"] == 3


def test_what_broke_inside_is_not_told() -> None:
    problem = problem_of(errors.InferenceFailed("CUDA error at /secret/path", device="cuda:0"), "req_1")
    assert problem["status"] == 500
    assert "secret" not in json.dumps(problem)
    assert "cuda" not in json.dumps(problem)
    assert "req_1" in str(problem["detail"])
