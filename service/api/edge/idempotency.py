"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that is sent twice is answered once.

A request is the same where path, options and body are; a form is compared by what it holds, since its boundary differs
each time. Knows no route.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import zlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request, Response

from fovea.errors import InvalidOption
from service.api.edge.parts import key_of, once_of
from service.jobs.once import Turn

HEADER = "Idempotency-Key"
MAX_KEY = 255
KEPT_HEADERS = ("content-type", "location", "preference-applied")
REPLAYED = "Idempotency-Replayed"


KEY_PARAMETER: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[\\x21-\\x7e]+$"},
    "description": "A UUID, say. The same request with the same key is answered once: the first answer comes again, "
    "with `Idempotency-Replayed: true`. Another request with it is refused.",
}


@dataclass(frozen=True, slots=True)
class Once:
    """`kept`: the answer to give; None: make one, and give what `keep` returns."""

    turn: Turn
    kept: Response | None

    async def keep(self, response: Response) -> Response:
        if response.status_code < 300:  # what was refused may be put right, and sent again
            await self.turn.keep(await asyncio.to_thread(_packed, response))
        return response


@contextlib.asynccontextmanager
async def once(request: Request, fingerprint: str) -> AsyncIterator[Once]:
    """Without the header every request is a first one.

    Raises KeyReused, KeyInUse, InvalidOption, Overloaded, Unavailable.
    """
    key = request.headers.get(HEADER)
    if key is None:
        yield Once(Turn(), None)
        return
    if not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable() and " " not in key):
        raise InvalidOption(
            f"{HEADER}: must be 1 to {MAX_KEY} printable ASCII characters without blanks; use a UUID", option=HEADER
        )
    asker = key_of(request)
    owner, scope = "" if asker is None else asker.name, f"{request.method} {request.url.path}"
    async with once_of(request).turn(owner, scope, key, fingerprint) as turn:
        yield Once(turn, None if turn.kept is None else _unpacked(turn.kept))


async def fingerprint_of(request: Request, options: Iterable[tuple[str, str]], *bodies: Path | bytes) -> str:
    """Of what a request asks for; nothing is read where it has no key."""
    return await asyncio.to_thread(_fingerprint, options, bodies) if HEADER in request.headers else ""


def refuse_key(
    request: Request,
    why: str = "what is told step by step cannot be told again; accept application/json, or send "
    "`Prefer: respond-async` and follow the job's events",
) -> None:
    """For answers that are not kept. Raises InvalidOption where there is a key."""
    if HEADER in request.headers:
        raise InvalidOption(f"{HEADER}: {why}", option=HEADER)


def _fingerprint(options: Iterable[tuple[str, str]], bodies: Iterable[Path | bytes]) -> str:
    digest = hashlib.sha256(json.dumps(sorted(set(options))).encode())
    for body in bodies:
        if isinstance(body, bytes):
            digest.update(hashlib.sha256(body).digest())
        else:
            with body.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _packed(response: Response) -> str:
    headers = {name: value for name, value in response.headers.items() if name in KEPT_HEADERS}
    # A long video's curve is a few hundred kilobytes of JSON, and a tenth of that deflated.
    body = base64.b64encode(zlib.compress(bytes(response.body))).decode()
    return json.dumps({"status": response.status_code, "headers": headers, "deflated": body})


def _unpacked(kept: str) -> Response:
    said = json.loads(kept)
    headers = said["headers"] | {REPLAYED: "true"}
    plain = said.get("body")  # of a version before
    body = base64.b64decode(said["deflated"] if plain is None else plain)
    return Response(zlib.decompress(body) if plain is None else body, said["status"], headers)
