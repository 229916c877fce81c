"""Runtimes: what executes a recognizer's heavy networks, chosen by configuration.

Names are imported when they are first asked for (PEP 562): `RuntimeConfig` is a plain value, and costs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.runtime.base import Network, Runtime
    from models.runtime.choosing import make_runtime
    from models.runtime.config import Precision, RuntimeConfig

_HOMES = {
    "Network": "models.runtime.base",
    "Precision": "models.runtime.config",
    "Runtime": "models.runtime.base",
    "RuntimeConfig": "models.runtime.config",
    "make_runtime": "models.runtime.choosing",
}

__all__ = ["Network", "Precision", "Runtime", "RuntimeConfig", "make_runtime"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'models.runtime' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
