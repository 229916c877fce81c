"""GET /v1/usage: what keys have used, by key and model. Knows HTTP, not how it is counted."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request

from fovea.answers import KeyUsage, UsageReport
from fovea.errors import InvalidOption
from service.api.edge.parts import accounts_of, key_of
from service.api.edge.problems import refusals
from service.keys.key import Scope
from service.ledger.counters import KEPT_DAYS

router = APIRouter(tags=["operation"])

OPTIONS = {"from": "The first day, in UTC; absent: the last.", "to": "The last day, in UTC; absent: today."}
_OPENAPI: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "schema": {"type": "string", "format": "date"}, "description": text}
        for name, text in OPTIONS.items()
    ]
}


@router.get(
    "/v1/usage",
    summary="What was used, by key and model",
    openapi_extra=_OPENAPI,
    responses=refusals(s422="A day cannot be.", s503="Loading, or the shared state is away."),
)
async def usage(request: Request) -> UsageReport:
    """Of the key that asks; of every key where it has the scope `admin`, or where the service has no keys.

    Counted over all replicas, to the second.
    """
    first, last = _days(request)
    key = key_of(request)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    used = await accounts_of(request).usage.of(days)
    told = [one for one in used if key is None or key.opens(Scope.ADMIN) or one.key == key.name]
    return UsageReport(
        first_day=first,
        last_day=last,
        usage=[
            KeyUsage(key=one.key or None, model=one.model, requests=one.requests, gflops=one.flops / 1e9)
            for one in told
        ],
    )


def _days(request: Request) -> tuple[date, date]:
    """Raises InvalidOption."""
    query = request.query_params
    if (odd := set(query) - set(OPTIONS)) or len(query.multi_items()) > len(query):
        raise InvalidOption(
            f"{', '.join(sorted(odd)) or 'from, to'}: the options here are from and to, each given once"
        )
    last = _day(query.get("to"), "to") or datetime.now(UTC).date()
    first = _day(query.get("from"), "from") or last
    if not 0 <= (last - first).days < KEPT_DAYS:
        raise InvalidOption(
            f"from={first} to={last}: `from` is not after `to`, and at most {KEPT_DAYS} days are told at once",
            option="from",
        )
    return first, last


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidOption(f"{option}={text[:32]!r} is no day; write 2026-11-27", option=option) from None
