"""A converted model as one string of bytes: OpenVINO's two files, one after the other. Knows no model."""

_LENGTH_BYTES = 8


def join(xml: bytes, weights: bytes) -> bytes:
    return len(xml).to_bytes(_LENGTH_BYTES, "little") + xml + weights


def split(converted: bytes) -> tuple[bytes, bytes]:
    """(xml, weights)."""
    weights_start = _LENGTH_BYTES + int.from_bytes(converted[:_LENGTH_BYTES], "little")
    return converted[_LENGTH_BYTES:weights_start], converted[weights_start:]
