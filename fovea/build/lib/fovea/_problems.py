"""From what a service answered to the error it stands for: the problem's `type` says which. Knows not who asked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from fovea.errors import FoveaError, ServerProblem, ServiceLost, every_kind

PROBLEM = "application/problem+json"
RETRIED_STATUSES = frozenset({429, 503})

Answer = TypeVar("Answer", bound=BaseModel)


_KINDS = {f"/problems/{kind.slug}": kind for kind in every_kind() if kind is not FoveaError}


def error_of(response: httpx.Response) -> FoveaError:
    """The error of an unsuccessful answer that has been read."""
    try:
        is_problem = response.headers.get("content-type", "").startswith(PROBLEM)
        error = error_of_problem(response.json() if is_problem else None)
    except ValueError:  # called a problem, and is none
        error = None
    if error is None:
        error = ServerProblem(
            f"{response.url} answered {response.status_code} without a problem text; is it a Fovea service?"
        )
    after = response.headers.get("retry-after", "")
    if error.retry_after_s is None and after.isdecimal() and response.status_code in RETRIED_STATUSES:
        error.retry_after_s = float(after)
    return error


def error_of_problem(problem: Any) -> FoveaError | None:
    """The error of a problem's JSON; None where it is no problem.

    `extra` holds all its members but title and detail: `status`, `instance` (which names the request in the service's
    log), and the facts of this problem, such as `least_gflops`.
    """
    if not isinstance(problem, dict) or not isinstance(problem.get("detail"), str):
        return None
    facts = {name: value for name, value in problem.items() if name not in {"title", "detail", "retry_after_s"}}
    kind = _KINDS.get(str(problem.get("type")), ServerProblem)
    error = kind(problem["detail"] if kind is not ServerProblem else f"{problem.get('title')}: {problem['detail']}")
    error.extra = facts
    retry_after_s = problem.get("retry_after_s")
    error.retry_after_s = float(retry_after_s) if isinstance(retry_after_s, int | float) else None
    return error


def parsed(kind: type[Answer], text: str | bytes, url: str) -> Answer:
    """The JSON of a successful answer. Raises ServerProblem where it is not what the API promises."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise ServerProblem(
            f"{url} did not answer with a {kind.__name__}; is it a Fovea service, and as new as this client?"
        ) from error


def problem_in(data: str, url: str) -> FoveaError:
    """The error of a `problem` event."""
    try:
        error = error_of_problem(json.loads(data))
    except ValueError:
        error = None
    return error or ServerProblem(f"{url} sent a problem that cannot be read: {data[:200]!r}")


@contextmanager
def connection_errors(url: str) -> Iterator[None]:
    """httpx's errors become ServiceLost."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
        raise ServiceLost(f"{url} cannot be asked: {error or type(error).__name__}") from error
    except httpx.HTTPError as error:
        raise ServiceLost(f"{url} went away in mid-answer: {error or type(error).__name__}; ask again") from error
