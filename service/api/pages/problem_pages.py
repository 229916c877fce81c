"""GET /problems/<slug>: where a problem's `type` leads to, a page for people. Knows the error tree and no request.

All that is said comes from `fovea.errors` (title, advice) and from the one table in `problems` (status).
"""

import re
from dataclasses import dataclass
from html import escape
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from fovea.errors import every_kind
from service.api.edge.problems import slug_of
from service.api.edge.statuses import answer_to
from service.api.pages.headers import written_page

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say about one type of problem."""

    slug: str
    title: str
    status: int
    advice: str  # `code` between backticks

    @property
    def advice_html(self) -> str:
        return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(self.advice, quote=False))


# The router's own refusals, which no error of ours stands for.
_ROUTING = {
    HTTPStatus.NOT_FOUND: "Look at the path: /docs lists every one there is.",
    HTTPStatus.METHOD_NOT_ALLOWED: "The path is right, the method is not; the header `Allow` names those that are.",
}

EXPLANATIONS = {
    one.slug: one
    for one in (
        *(Explanation(kind.slug, kind.title, answer_to(kind("")).status, kind.advice) for kind in every_kind()),
        *(Explanation(slug_of(status), status.phrase, status, advice) for status, advice in _ROUTING.items()),
    )
}


@router.get("/problems")
async def list_problems() -> HTMLResponse:
    rows = "\n".join(
        f'<tr><td>{one.status}</td><td><a href="problems/{one.slug}">{escape(one.title)}</a></td></tr>'
        for one in sorted(EXPLANATIONS.values(), key=lambda one: (one.status, one.slug))
    )
    return written_page(
        "Problems",
        "<p>Every refusal is <code>application/problem+json</code> (RFC 9457). Its <code>type</code> is stable and "
        "leads to a page here; its <code>detail</code> names the value, the rule and the way out.</p>\n"
        f"<table>\n<tr><th>status</th><th>what happened</th></tr>\n{rows}\n</table>",
        root="",
    )


@router.get("/problems/{slug}")
async def explain_problem(slug: str) -> HTMLResponse:
    one = EXPLANATIONS.get(slug)
    if one is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "there is no problem of that name; /problems lists them all")
    return written_page(
        one.title,
        f"<p>Status {one.status}, <code>/problems/{one.slug}</code></p>\n<p>{one.advice_html}</p>\n"
        '<p><a href="../problems">All problems</a></p>',
        root="../",
    )
