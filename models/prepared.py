"""A bundle's network in the form that is served without torch: converted parts, and the prices of its steps.

Knows no architecture and no runtime: it is bytes, and the name under which they may be used.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from models.bundle_format import Manifest
from models.prices import Prices

_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class ConvertedPart:
    converted: bytes
    heavy: bool
    """Runs in the runtime's precision; others in fp32."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """`identity` is what `identity_of` says."""

    identity: str
    prices: Prices
    parts: Mapping[str, ConvertedPart]

    def to_bytes(self) -> bytes:
        sizes = {name: [len(part.converted), part.heavy] for name, part in self.parts.items()}
        header = json.dumps({"identity": self.identity, "prices": asdict(self.prices), "parts": sizes}).encode()
        return b"".join(
            (len(header).to_bytes(_LENGTH_BYTES, "little"), header, *(part.converted for part in self.parts.values()))
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> "Prepared":
        """What `to_bytes` gave; `models.runtime.file_cache` vouches for that."""
        start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
        header = json.loads(content[_LENGTH_BYTES:start])
        parts = {}
        for name, (size, heavy) in header["parts"].items():
            parts[name] = ConvertedPart(content[start : start + size], heavy)
            start += size
        prices = header["prices"]
        return cls(header["identity"], Prices(**prices | {"step_flops": tuple(prices["step_flops"])}), parts)


def identity_of(manifest: Manifest, openvino_version: str) -> str:
    """Names what a preparation follows from: architecture, weights, and the code that builds, prices and converts.

    Another architecture, another weight or another line of this package is another name. So prices that lie on disk
    are those that this code would count.
    """
    architecture = json.dumps(manifest.architecture.model_dump(mode="json"), sort_keys=True)
    return repr(("prepared", architecture, manifest.weights_sha256, code_digest(), openvino_version))


@functools.cache
def code_digest() -> str:
    """sha256 of this package's source files, their names included."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(package).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
