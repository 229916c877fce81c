"""Pages for people: how they look from outside, and what a browser may do with them. Knows no page by name.

A page may load, run and ask this service alone: no inline script, no style from elsewhere, no frame around it.
"""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from fastapi.responses import FileResponse, HTMLResponse

WEB = Path(__file__).parents[2] / "web"  # files that browsers get as they are

_ALLOWED = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "media-src": "'self' blob:",  # the video that was dropped onto the page
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}

# A file may change with the next release: browsers keep it, and ask whether it has.
FILE_HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


def page_headers(**allowed: str) -> dict[str, str]:
    """Headers of a page; `allowed` widens the policy: `page_headers(img_src="'self' data:")`."""
    policy = _ALLOWED | {name.replace("_", "-"): sources for name, sources in allowed.items()}
    return FILE_HEADERS | {
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def static_page(name: str, headers: Mapping[str, str]) -> FileResponse:
    return FileResponse(WEB / name, headers=headers)


def written_page(title: str, body: str, *, root: str) -> HTMLResponse:
    """A short text. `body` is HTML, `title` is not; `root`: the way from the page's folder to the service's root."""
    title = escape(title)
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Fovea</title>
<link rel="icon" href="{root}web/icon.svg">
<link rel="stylesheet" href="{root}web/style.css">
</head>
<body>
<header class="top"><a class="brand" href="{root or "./"}">Fovea</a></header>
<main class="text">
<h1>{title}</h1>
{body}
</main>
</body>
</html>
""",
        headers=page_headers(),
    )
