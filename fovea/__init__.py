"""Calls a running service from Python. Knows HTTP and the API's JSON, and nothing of how a video is recognised.

    from fovea import Client

    with Client("http://127.0.0.1:8000") as fovea:
        print(fovea.recognize("clip.mp4", budget_gflops=0.8).predictions[0].label)

`AsyncClient` is the same with `async`. Answers are the API's own schemas (`fovea.answers`). Refusals are raised
as the errors of `fovea.errors` that they were at the other end, with the service's words as their text.
"""

from fovea.async_client import AsyncClient
from fovea.calls import Options, StreamOptions, Video
from fovea.problems import ServerProblem, ServiceLost
from fovea.resume import StreamEvent
from fovea.sync_client import Client

__all__ = ["AsyncClient", "Client", "Options", "ServerProblem", "ServiceLost", "StreamEvent", "StreamOptions", "Video"]
