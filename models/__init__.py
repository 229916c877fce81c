"""Recognises. Knows no HTTP, video file, redis or thread.

Two doors: `available_models()` says what there is, `load_model()` makes it ready to run.
"""

from pathlib import Path

from models.bundle import Bundle
from models.bundle_format import MANIFEST, BundleError
from models.loading import Model, make_model
from models.runtime import RuntimeConfig

__all__ = ["BundleError", "Model", "available_models", "load_model"]

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


def load_model(name_or_path: str | Path, *folders: Path, runtime: RuntimeConfig | None = None) -> Model:
    """A bundle by its name among `available_models(*folders)`, or by the path of its folder.

    Raises ValueError for an unknown name (the known ones are listed) and for a runtime that is not there, BundleError
    for a bundle that is not sound.
    """
    folder = Path(name_or_path)
    if isinstance(name_or_path, str) and folder.name == name_or_path:
        known = available_models(*folders)
        if name_or_path not in known:
            raise ValueError(f"no model is called {name_or_path!r}; known are: {', '.join(known) or 'none'}")
        folder = known[name_or_path]
    return make_model(Bundle.read(folder.resolve()), runtime or RuntimeConfig())
