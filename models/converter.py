"""Converts one bundle's network and counts its prices, with torch; also a program: `python -m models.converter`.

As a program it takes pairs of a bundle's folder and a file to write to. What it does lies on its standard output, a
line each, so that whoever started it can tell; torch and its memory end with it.
"""

import logging
import sys
import time
from pathlib import Path
from typing import Any

from models.bundle import Bundle
from models.families import find_family
from models.loading import load_network
from models.prepared import ConvertedPart, Prepared, identity_of
from models.preparing import REFUSED
from models.prices import count_prices
from models.runtime.converting import convert
from models.runtime.openvino_runtime import import_openvino

_log = logging.getLogger(__name__)


def make_prepared(folder: Path, openvino: Any) -> Prepared:
    """Raises BundleError for a bundle that is not sound."""
    bundle = Bundle.read(folder)
    family = find_family(bundle.config.family)
    assert family.light is not None, f"{family.title} cannot be converted"
    parts = family.light.parts(load_network(bundle))
    converted = {}
    for number, (name, part) in enumerate(parts.items(), start=1):
        started = time.monotonic()
        converted[name] = ConvertedPart(convert(openvino, part), part.heavy)
        took_s = time.monotonic() - started
        _log.info("%s: converted %s (%d of %d) in %.1f s", bundle.name, name, number, len(parts), took_s)
    identity = identity_of(bundle.manifest, openvino.get_version())
    return Prepared(identity, count_prices(bundle.config), converted)


def main(arguments: list[str]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    openvino = import_openvino()
    for folder, out in zip(arguments[::2], arguments[1::2], strict=True):
        try:
            content = make_prepared(Path(folder), openvino).to_bytes()
        except ValueError as error:
            print(error, file=sys.stderr)
            return REFUSED
        Path(out).write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
