"""Turns errors into RFC 9457 problems. Knows no status by number: `statuses` does."""

import logging
import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from fovea import errors
from fovea.errors import FoveaError
from service.api.body.lingering import LingeringClose
from service.api.edge.parts import request_id_of
from service.api.edge.statuses import answer_to

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def slug_of(status: HTTPStatus) -> str:
    """The name of a refusal that is FastAPI's own."""
    return status.phrase.lower().replace(" ", "-")


def problem_of(error: FoveaError, request_id: str, *, status: int | None = None) -> dict[str, object]:
    """The problem as JSON values. What went wrong inside the service is for the log, not for the client."""
    status = answer_to(error).status if status is None else status
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        detail, extra = f"the service failed on this request; its log tells more under {request_id}", {}
    else:
        detail, extra = error.detail, {key: value for key, value in error.extra.items() if value is not None}
    if error.retry_after_s is not None:
        extra["retry_after_s"] = math.ceil(error.retry_after_s)
    return {
        "type": f"/problems/{error.slug}",
        "title": error.title,
        "status": status,
        "detail": detail,
        "instance": f"urn:fovea:request:{request_id}",
        **extra,
    }


def response_to(error: FoveaError, request_id: str, *, status: int | None = None) -> JSONResponse:
    """The problem as an answer; `status` where a route gives the error another meaning than the table."""
    problem = problem_of(error, request_id, status=status)
    headers = {} if error.retry_after_s is None else {"Retry-After": str(math.ceil(error.retry_after_s))}
    return JSONResponse(problem, answer_to(error).status if status is None else status, headers, MEDIA_TYPE)


def refusals(**meanings: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` for problems: `refusals(s404="no such model")`."""
    retry = {"Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}}
    return {
        int(status[1:]): {
            "description": meaning,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": retry} if status in {"s429", "s503"} else {}),
        }
        for status, meaning in meanings.items()
    }


async def _on_fovea_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FoveaError)
    request_id = request_id_of(request)
    if answer_to(error).outcome == "error":
        log.error("request %s failed: %s", request_id, error, exc_info=error)
    return response_to(error, request_id)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's own refusals: no such path, wrong method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    body = {
        "type": f"/problems/{slug_of(status)}",
        "title": status.phrase,
        "status": error.status_code,
        "detail": f"{request.method} {request.url.path}: {error.detail}",
        "instance": f"urn:fovea:request:{request_id_of(request)}",
    }
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (allowed := _allowed_methods(request)):
        headers["Allow"] = ", ".join(allowed)
    return JSONResponse(body, error.status_code, headers, MEDIA_TYPE)


def _allowed_methods(request: Request) -> list[str]:
    """Every method that the path takes: Starlette names those of its first route alone."""

    def takes(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    taken = {method for method in METHODS if takes(method)}
    return [method for method in METHODS if method in taken or (method == "HEAD" and "GET" in taken)]


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return response_to(errors.InvalidOption(told), request_id_of(request))


def install(app: FastAPI) -> None:
    """Every error of `app` is a problem from now on, and reaches clients that are still sending.

    Exceptions nobody expected are `http_metrics`'s: they must be counted too.
    """
    app.add_exception_handler(FoveaError, _on_fovea_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_middleware(LingeringClose)
