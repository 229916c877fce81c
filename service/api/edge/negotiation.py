"""What a client sends and prefers: Content-Type, Accept (RFC 9110, 8.3 and 12.5.1), Cache-Control (RFC 9111, 5.2)."""

from collections.abc import Sequence

from fovea.errors import NotAcceptable, UnsupportedMediaType


def preferred(accept: str | None, offered: Sequence[str]) -> str:
    """The media type of `offered` that `accept` likes best; the first of equals. Raises NotAcceptable."""
    if not accept:
        return offered[0]
    ranges = [_range(text) for text in accept.split(",") if text.strip()]
    qualities = {media_type: _quality(media_type, ranges) for media_type in offered}
    best = max(offered, key=lambda media_type: qualities[media_type])  # the first of equals
    if qualities[best] <= 0:
        raise NotAcceptable(f"Accept: {accept[:100]} holds no form that this answer has; accept {' or '.join(offered)}")
    return best


def _range(text: str) -> tuple[str, float]:
    media_range, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = min(max(float(value), 0.0), 1.0)
            except ValueError:
                quality = 0.0
    return media_range, quality


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The quality of the most specific range that matches; 0 where none does."""
    for pattern in (media_type, media_type.split("/", maxsplit=1)[0] + "/*", "*/*"):
        for media_range, quality in ranges:
            if media_range == pattern:
                return quality
    return 0.0


def forbids_storing(cache_control: Sequence[str]) -> bool:
    """Whether the request says `no-store`: what is held is not for it, and nothing of it is to be held."""
    directives = ",".join(cache_control).lower().split(",")
    return any(directive.strip() == "no-store" for directive in directives)


def check_json(content_type: str | None) -> None:
    """Raises UnsupportedMediaType for what is not said to be JSON: any page may send a form or plain text here."""
    if (content_type or "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType(
            f"Content-Type {(content_type or '')[:100]!r} is not read here; send JSON as application/json"
        )
