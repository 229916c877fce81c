"""Which bundles there are, by name. Reads none of them: knows no network and no tensor."""

from pathlib import Path

from models.bundle_format import MANIFEST, BundleError

SHIPPED = Path(__file__).parent / "bundles"


def available_models(*folders: Path, shipped: bool = True) -> dict[str, Path]:
    """Bundles by name: those that ship (unless told not to), then those in `folders`, each in order of name.

    Nothing is read yet. A folder may be a bundle itself; one that is not there holds none. Raises BundleError when two
    bundles share a name.
    """
    found: dict[str, Path] = {}
    for parent in dict.fromkeys(folder.resolve() for folder in ((SHIPPED,) if shipped else ()) + folders):
        itself = parent / MANIFEST
        for manifest in [itself] if itself.exists() else sorted(parent.glob(f"[!.]*/{MANIFEST}")):
            bundle = manifest.parent
            if bundle.name in found:
                rule = f"{found[bundle.name]} has that name too"
                raise BundleError(bundle, "name", bundle.name, rule, "rename one (folder and bundle.json) or remove it")
            found[bundle.name] = bundle
    return found
