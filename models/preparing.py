"""Where a bundle's converted form comes from: its own folder, the cache, or a conversion now, in a child that ends.

Loads no torch, and knows no architecture. A process that has torch already converts by itself.
"""

import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.families import find_family
from models.listing import Listing
from models.prepared import Prepared, identity_of
from models.runtime.file_cache import FileCache
from models.runtime.openvino_runtime import OpenVinoRuntime, import_openvino

CONVERTED = "converted"
"""Folder of a bundle that may hold its converted forms: for machines without torch, and without a cache that lasts."""

REFUSED = 3
"""Exit status of `models.converter` where a bundle is not sound; the last line of its standard error says why."""

_log = logging.getLogger(__name__)


def prepare(listings: Sequence[Listing], runtime: OpenVinoRuntime, cache_dir: Path | None) -> Mapping[Path, Prepared]:
    """The converted form of each bundle, by its folder. What has to be converted is kept in the cache, if there is one.

    Raises ValueError, or its child BundleError, for a bundle that is not sound, and where nothing is converted yet and
    torch is not installed.
    """
    cache = None if cache_dir is None else FileCache(cache_dir)
    found: dict[Path, Prepared] = {}
    missing: list[Listing] = []
    for listing in listings:
        identity = identity_of(listing.manifest, runtime.version)
        kept = FileCache(listing.folder / CONVERTED).load(identity) or (cache and cache.load(identity))
        if kept:
            found[listing.folder] = Prepared.from_bytes(kept)
        else:
            missing.append(listing)
    if missing:
        for listing, content in zip(missing, _convert([listing.folder for listing in missing]), strict=True):
            if cache is not None:
                cache.store(identity_of(listing.manifest, runtime.version), content)
            found[listing.folder] = Prepared.from_bytes(content)
    return found


def put_into_bundle(listing: Listing) -> Path:
    """Convert a bundle into its own folder, unless it is there already; the file.

    Raises ValueError where it cannot be converted, where OpenVINO does not import, and where nothing can be written.
    """
    family = find_family(listing.manifest.architecture.family)
    if family.light is None:
        raise ValueError(f"{listing.manifest.name}: {family.title} is served with torch and cannot be converted")
    openvino = import_openvino()
    if openvino is None:
        raise ValueError("openvino does not import here: pip install openvino")
    cache, identity = FileCache(listing.folder / CONVERTED), identity_of(listing.manifest, openvino.get_version())
    if cache.load(identity) is None:
        (content,) = _convert([listing.folder])
        cache.store(identity, content)
    if not cache.path(identity).exists():
        raise ValueError(f"nothing could be written into {listing.folder / CONVERTED}; the log says why")
    return cache.path(identity)


def _convert(folders: Sequence[Path]) -> list[bytes]:
    names = ", ".join(folder.name for folder in folders)
    if importlib.util.find_spec("torch") is None:
        raise ValueError(
            f"{names} must be converted once before serving, which needs torch, and torch is not installed here: "
            "install it (pip install 'fovea-server[torch]'), or convert elsewhere with the same versions of Fovea and "
            "OpenVINO (fovea convert) and bring the bundle's folder here"
        )
    _log.info("converting %s for OpenVINO: once for each version of bundle and code, it takes some seconds", names)
    if "torch" in sys.modules:
        from models.converter import make_prepared  # noqa: PLC0415  # torch is here already

        return [make_prepared(folder, import_openvino()).to_bytes() for folder in folders]
    with tempfile.TemporaryDirectory() as scratch:
        outs = [Path(scratch, str(number)) for number in range(len(folders))]
        _run_child([str(path) for pair in zip(folders, outs, strict=True) for path in pair])
        return [out.read_bytes() for out in outs]


def _run_child(arguments: Sequence[str]) -> None:
    """`python -m models.converter`, whose lines go to our log."""
    home = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "models.converter", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},  # torch's threads would gain nothing here
        )  # fmt: skip
        with child:
            assert child.stdout is not None
            for line in child.stdout:
                _log.info("%s", line.rstrip())
        if child.returncode:
            errors.seek(0)
            said = errors.read().strip()
            if child.returncode == REFUSED:
                raise ValueError(said.splitlines()[-1])
            _log.error("the conversion ended with %d:\n%s", child.returncode, said)
            raise ValueError(f"a model could not be converted (status {child.returncode}); the log says why")
