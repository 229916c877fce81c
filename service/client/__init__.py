"""Calls a running service from Python. Knows HTTP and the API's JSON, and nothing of how a video is recognised.

    from service.client import Client

    with Client("http://127.0.0.1:8000") as fovea:
        print(fovea.recognize("clip.mp4", budget_gflops=0.8).predictions[0].label)

`AsyncClient` is the same with `async`. Answers are the API's own schemas (`service.api.schemas`). Refusals are raised
as the errors of `service.errors` that they were at the other end, with the service's words as their text.
"""

from service.client.async_client import AsyncClient
from service.client.calls import Options, StreamOptions, Video
from service.client.problems import ServerProblem, ServiceLost
from service.client.resume import StreamEvent
from service.client.sync_client import Client

__all__ = ["AsyncClient", "Client", "Options", "ServerProblem", "ServiceLost", "StreamEvent", "StreamOptions", "Video"]
