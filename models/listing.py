"""What a bundle's files say of it, without building anything: enough for a list of many.

Knows no torch, no network and no price but those that the files hold. Whoever answers with a bundle reads all of it
(`models.bundle`), which counts the prices anew and compares.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from models.bundle_format import (
    CALIBRATION,
    MANIFEST,
    WEIGHTS,
    BundleError,
    CalibrationFile,
    Manifest,
    read_bytes,
    read_json,
)


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """`digest` names the bundle's files, byte for byte.

    `least_flops` and `full_flops` are the first and the last budget that were solved: the prices of a glance and of all
    steps when the bundle was calibrated, the latter alone where it never was. A bundle whose prices have changed since
    is listed, and does not load.
    """

    folder: Path
    digest: str
    manifest: Manifest
    least_flops: int
    full_flops: int


def read_listing(folder: Path) -> Listing:
    """Raises BundleError for files that are missing, damaged, not as strict as their format, or of another bundle."""
    manifest = read_json(folder, MANIFEST, Manifest)
    if manifest.name != folder.name:
        rule = f"its folder is called {folder.name}"
        raise BundleError(folder, f"{MANIFEST}.name", manifest.name, rule, "rename one of them")
    hashes = {file: hashlib.sha256(read_bytes(folder, file)).hexdigest() for file in manifest.files}
    if hashes[WEIGHTS] != manifest.weights_sha256:
        rule = f"{WEIGHTS} has {hashes[WEIGHTS]}"
        way_out = "the file is damaged or belongs to another bundle: fetch or build the bundle again"
        raise BundleError(folder, f"{MANIFEST}.weights_sha256", manifest.weights_sha256, rule, way_out)
    grid = read_json(folder, CALIBRATION, CalibrationFile).grid
    lines = "".join(f"{hashes[file]}  {file}\n" for file in sorted(manifest.files))
    digest = "sha256:" + hashlib.sha256(lines.encode()).hexdigest()
    return Listing(folder, digest, manifest, grid[0].budget_flops, grid[-1].budget_flops)
