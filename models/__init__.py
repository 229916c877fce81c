"""Recognises. Knows no HTTP, video file, redis or thread.

Two doors: `available_models()` says what there is, `load_model()` makes it ready to run. Names are imported when they
are first asked for (PEP 562), so that whoever wants the nouns or the list loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.bundle_format import BundleError
    from models.catalogue import available_models
    from models.loading import Model, load_model

_HOMES = {
    "BundleError": "models.bundle_format",
    "Model": "models.loading",
    "available_models": "models.catalogue",
    "load_model": "models.loading",
}

__all__ = ["BundleError", "Model", "available_models", "load_model"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
