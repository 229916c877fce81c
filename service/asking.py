"""Asks for one recognition at a time, here or at a URL; the answer is the API's JSON. Knows no table and no command."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from service.api.answers import recognition_answer
from service.api.options import Ceilings, parse_options
from service.engine.request import Recognition
from service.errors import FoveaError
from service.metrics import Metrics
from service.settings import Settings

Answer: TypeAlias = dict[str, Any]  # a Recognition as the API tells it
Ask: TypeAlias = Callable[[Path], Awaitable[Answer]]


class ServerProblem(FoveaError):
    """What a service answered instead of a recognition."""

    slug = "server-problem"
    title = "The service refused"


@asynccontextmanager
async def ask_here(options: Mapping[str, object]) -> AsyncIterator[Ask]:
    """Load the models into this process and ask them. Settings come from the environment, as for the service."""
    from service.app import open_pipeline  # brings torch, which asking a server does not need

    settings = Settings.read()
    ceilings = Ceilings(top_k=settings.max_top_k, deadline_ms=settings.max_deadline_ms)
    parsed = parse_options([(name, str(value)) for name, value in options.items()], ceilings)
    async with open_pipeline(settings, Metrics()) as pipeline:

        async def ask(path: Path) -> Answer:
            plan = pipeline.plan(parsed)
            with pipeline.admit(plan) as ticket:
                async for event in pipeline.recognize(path, plan, ticket):
                    last = event
            assert isinstance(last, Recognition)
            return recognition_answer(last, pipeline.offer(plan.model)).model_dump(mode="json", exclude_unset=True)

        yield ask


@asynccontextmanager
async def ask_server(url: str, options: Mapping[str, object]) -> AsyncIterator[Ask]:
    """Post videos to the service at `url`. Raises ServerProblem with the service's own words."""
    async with httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(10, read=None)) as client:

        async def ask(path: Path) -> Answer:
            try:
                with path.open("rb") as video:
                    response = await client.post(
                        "/v1/recognitions",
                        params={name: str(value) for name, value in options.items()},
                        files={"video": (path.name, video)},
                    )
            except httpx.HTTPError as error:
                raise ServerProblem(f"{url} cannot be asked: {error or type(error).__name__}") from error
            if response.is_success:
                answer: Answer = response.json()
                return answer
            raise ServerProblem(_words(response))

        yield ask


def _words(response: httpx.Response) -> str:
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        problem = response.json()
        return f"{problem['status']} {problem['title']}: {problem['detail']}"
    return f"{response.url} answered {response.status_code} without a problem text; is it a Fovea service?"
