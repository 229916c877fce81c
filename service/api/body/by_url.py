"""A body that says where the video is: JSON with a `url`, and options beside it, which are handed on unread."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fovea.errors import InvalidOption, InvalidUpload
from service.api.body.body import Body
from service.fetch.arrival import EndWanted, Piece, not_wanted
from service.fetch.fetcher import Fetcher

URL = "url"
MAX_BODY_BYTES = 64 * 1024


class UrlUpload:
    """The other members of the object are fields, before the video; lists of texts are written with commas."""

    def __init__(self, body: Body, fetcher: Fetcher) -> None:
        self._body = body
        self._fetcher = fetcher
        self._url = ""

    async def fields(self) -> list[tuple[str, str]]:
        """Raises InvalidUpload, and InvalidOption for a URL that is not fetched."""
        text = b""
        while chunk := await self._body.read():
            text += chunk
        try:
            asked = json.loads(text, parse_float=str, parse_int=str)  # as they are written: GFLOPs are read as decimals
        except (ValueError, RecursionError):
            raise InvalidUpload(
                'the body is no JSON; send {"url": "https://host/path"}, and options beside it'
            ) from None
        if not isinstance(asked, dict) or not isinstance(url := asked.pop(URL, None), str):
            raise InvalidUpload('the JSON says no url; send {"url": "https://host/path"}, and options beside it')
        self._fetcher.check(url)
        self._url = url
        return [(name, _text(name, value)) for name, value in asked.items() if value is not None]

    async def video(self, end_wanted: EndWanted = not_wanted) -> AsyncGenerator[Piece, None]:
        async with aclosing(self._fetcher.fetch(self._url, end_wanted)) as pieces:
            async for piece in pieces:
                yield piece

    async def later_fields(self) -> list[tuple[str, str]]:
        return []

    async def until_next_video(self) -> tuple[list[tuple[str, str]], bool]:
        return [], False


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ",".join(value)
    raise InvalidOption(f"option {name[:64]!r} is neither a text, a number nor a list of texts", option=name[:64])
