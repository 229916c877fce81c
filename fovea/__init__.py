"""Calls a running service from Python. Knows HTTP and the API's JSON, and nothing of how a video is recognised.

    from fovea import Client

    with Client("http://127.0.0.1:8000") as fovea:
        print(fovea.recognize("clip.mp4", budget_gflops=0.8).predictions[0].label)

`AsyncClient` is the same with `async`. Answers are the API's own schemas (`fovea.answers`). Refusals are raised
as the errors of `fovea.errors` that they were at the other end, with the service's words as their text.

Names are imported when they are first asked for (PEP 562): the service's own processes want the errors alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fovea.async_client import AsyncClient
    from fovea.calls import Options, StreamOptions, Video
    from fovea.problems import ServerProblem, ServiceLost
    from fovea.resume import StreamEvent
    from fovea.sync_client import Client

_HOMES = {
    "AsyncClient": "fovea.async_client",
    "Client": "fovea.sync_client",
    "Options": "fovea.calls",
    "ServerProblem": "fovea.problems",
    "ServiceLost": "fovea.problems",
    "StreamEvent": "fovea.resume",
    "StreamOptions": "fovea.calls",
    "Video": "fovea.calls",
}

__all__ = ["AsyncClient", "Client", "Options", "ServerProblem", "ServiceLost", "StreamEvent", "StreamOptions", "Video"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'fovea' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
