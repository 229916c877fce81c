"""Gives the labels of a bundle that stands names for people. Weights, calibration and labels stay. Knows no network.

The bundle's digest changes, as with every change of its files.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from models.bundle_format import MANIFEST, Manifest, read_json
from models.label_texts import LabelText
from models.listing import Listing, read_listing


def name_labels(folder: Path, texts: Mapping[str, LabelText]) -> Listing:
    """Write `texts` into the bundle in place of what it said; none: it says nothing any more.

    Raises BundleError for a bundle that is not sound, ValueError for a label that it does not have.
    """
    folder = folder.resolve()
    read_listing(folder)  # nothing is written into what is not whole
    manifest = read_json(folder, MANIFEST, Manifest)
    if strange := sorted(set(texts) - set(manifest.labels)):
        raise ValueError(
            f"{folder.name} has no label {strange[0]!r}; its labels are {', '.join(manifest.labels[:8])}"
            f"{', ...' if len(manifest.labels) > 8 else ''}"
        )
    in_order = {label: texts[label] for label in manifest.labels if label in texts}
    named = Manifest(**dict(manifest) | {"label_texts": in_order})
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".unfinished-", delete=False) as fresh:
        try:
            fresh.write((named.model_dump_json(indent=1) + "\n").encode())
            fresh.flush()
            os.fsync(fresh.fileno())
            os.chmod(fresh.name, (folder / MANIFEST).stat().st_mode & 0o777)
            os.replace(fresh.name, folder / MANIFEST)
        except BaseException:
            os.unlink(fresh.name)
            raise
    return read_listing(folder)
