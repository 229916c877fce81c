"""Content-Encoding of a body: gzip and deflate, inflated a bounded piece at a time. Knows no form and no video.

A few bytes may inflate to many: `next` never gives more than PIECE_BYTES, so that whoever counts can stop in time.
"""

import zlib

from fovea.errors import MalformedUpload, UnsupportedMediaType

PIECE_BYTES = 2**18
DETECT_HEADER = 32 + zlib.MAX_WBITS  # zlib finds out whether it is gzip or zlib's own format
RAW = -zlib.MAX_WBITS  # what some clients call deflate: without any header


class Inflater:
    """`feed` what came, then `next` until it gives nothing; `finish` at the end."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._pending = b""
        self._zlib = None if encoding == "deflate" else zlib.decompressobj(DETECT_HEADER)  # deflate: its start tells

    def feed(self, packed: bytes) -> None:
        self._pending += packed

    def next(self) -> bytes:
        """At most PIECE_BYTES; empty when more must be fed. Raises MalformedUpload for what cannot be inflated."""
        if self._zlib is None and len(self._pending) >= 2:
            self._zlib = zlib.decompressobj(zlib.MAX_WBITS if _has_zlib_header(self._pending) else RAW)
        while self._zlib is not None and self._pending:
            if self._zlib.eof:  # gzip files may follow one another
                self._zlib = zlib.decompressobj(DETECT_HEADER)
            try:
                chunk = self._zlib.decompress(self._pending, PIECE_BYTES)
            except zlib.error as error:
                raise MalformedUpload(
                    f"Content-Encoding is {self._encoding}, and the body is not: {error}; leave the header out, or "
                    "compress the body"
                ) from error
            self._pending = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
            if chunk:
                return chunk
        return b""

    def finish(self) -> None:
        """Raises MalformedUpload where the body ends too early."""
        if self._zlib is None or not self._zlib.eof:
            raise MalformedUpload(f"the {self._encoding} data of the body break off; send all of it")


def inflater_of(content_encoding: str | None) -> Inflater | None:
    """None: the body is as it is. Raises UnsupportedMediaType for an encoding that is not read."""
    encoding = (content_encoding or "identity").strip().lower()
    if encoding == "identity":
        return None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return Inflater(encoding)
    raise UnsupportedMediaType(
        f"Content-Encoding {encoding[:64]!r} is not read here; send the body as it is, or with gzip or deflate"
    )


def _has_zlib_header(start: bytes) -> bool:
    """RFC 1950: the first byte names the method (8: deflate), both together are a multiple of 31."""
    return start[0] & 0x0F == 8 and (start[0] << 8 | start[1]) % 31 == 0
