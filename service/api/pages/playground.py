"""What a browser gets: the playground at /, its files, the clips it offers, and /docs. Knows no model.

Nothing is built and nothing comes from elsewhere: `service/web` is served as it lies there, Swagger UI out of an
installed package.
"""

import mimetypes
from http import HTTPStatus
from os import PathLike, stat_result
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fovea.answers import PlaygroundFacts
from service.api.edge.parts import settings_of
from service.api.pages.headers import FILE_HEADERS, WEB, page_headers, static_page

SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"

PAGE = page_headers(img_src="'self' blob:")  # a frame that an answer brought
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
    return PlaygroundFacts(
        max_upload_bytes=settings.max_upload_bytes, clips=sorted(_offered(settings.playground_clips))
    )


@router.get("/playground/clips/{name}")
def clip(request: Request, name: str) -> FileResponse:
    path = _offered(settings_of(request).playground_clips).get(name)
    if path is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "no clip of that name is offered; /playground lists them")
    return FileResponse(path, headers=FILE_HEADERS)


def _offered(folder: Path | None) -> dict[str, Path]:
    """The folder's videos by name, and nothing else that may lie there."""
    return {} if folder is None else {path.name: path for path in folder.iterdir() if _is_video(path)}


def _is_video(path: Path) -> bool:
    kind, _ = mimetypes.guess_type(path.name)
    return kind is not None and kind.startswith("video/") and path.is_file() and not path.name.startswith(".")


def install(app: FastAPI) -> None:
    """Add the pages to `app`."""
    app.include_router(router)
    app.mount("/web", Files(directory=WEB))
    app.mount("/swagger-ui", Files(directory=SWAGGER_UI))
