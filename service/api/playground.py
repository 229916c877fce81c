"""What a browser gets: the playground at /, its files, the clips it offers, and /docs. Knows no model.

Nothing is built and nothing comes from elsewhere: `service/web` is served as it lies there, Swagger UI out of an
installed package.
"""

import mimetypes
from os import PathLike, stat_result
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

from service.api.pages import FILE_HEADERS, WEB, page_headers, static_page
from service.api.parts import settings_of
from service.api.schemas import PlaygroundFacts

SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"

PAGE = page_headers()
# Swagger UI writes styles into its elements and carries its icons as data: URLs.
DOCS = page_headers(style_src="'self' 'unsafe-inline'", img_src="'self' data:")

router = APIRouter(include_in_schema=False)


class Files(StaticFiles):
    """A folder's files, never listed; a browser asks each time whether what it has is still right."""

    def file_response(self, full_path: str | PathLike[str], stat_result: stat_result, *rest: Any) -> Response:
        response = super().file_response(full_path, stat_result, *rest)
        response.headers.update(FILE_HEADERS)
        return response


@router.get("/")
async def playground() -> FileResponse:
    return static_page("index.html", PAGE)


@router.get("/docs")
async def docs() -> FileResponse:
    return static_page("docs.html", DOCS)


@router.get("/playground")
def facts(request: Request) -> PlaygroundFacts:
    settings = settings_of(request)
    folder = settings.playground_clips
    return PlaygroundFacts(
        max_upload_bytes=settings.max_upload_bytes,
        clips=[] if folder is None else sorted(path.name for path in folder.iterdir() if _is_clip(path)),
    )


def _is_clip(path: Path) -> bool:
    kind, _ = mimetypes.guess_type(path.name)
    return kind is not None and kind.startswith("video/") and path.is_file() and not path.name.startswith(".")


def install(app: FastAPI, clips: Path | None) -> None:
    """Add the pages to `app`. `clips`: a folder whose videos anyone who reaches the page may see and try."""
    app.include_router(router)
    app.mount("/web", Files(directory=WEB))
    app.mount("/swagger-ui", Files(directory=SWAGGER_UI))
    if clips is not None:
        app.mount("/playground/clips", Files(directory=clips))
