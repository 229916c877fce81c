"""Asks for one recognition at a time, here or at a URL; the answer is the API's. Knows no table and no command."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from cli.videos import Given
from fovea import AsyncClient, RecognitionOptions
from fovea._calls import query_of
from fovea.answers import RecognitionAnswer
from service.api.recognitions.answers import recognition_answer
from service.api.recognitions.options import Ceilings, parse_options
from service.engine.request import Recognition
from service.metrics import Metrics
from service.settings import Settings

Ask: TypeAlias = Callable[[Given], Awaitable[RecognitionAnswer]]


@asynccontextmanager
async def ask_here(options: RecognitionOptions) -> AsyncIterator[Ask]:
    """Load the models into this process and ask them. Settings come from the environment, as for the service."""
    from service.wiring.recognising import open_pipeline  # brings torch, which asking a server does not need

    settings = Settings.read()
    ceilings = Ceilings(top_k=settings.max_top_k, deadline_ms=settings.max_deadline_ms)
    parsed = parse_options(query_of(options).items(), ceilings)  # as a client would send them
    async with open_pipeline(settings, Metrics()) as pipeline:

        async def ask(video: Given) -> RecognitionAnswer:
            plan = pipeline.plan(parsed)
            with pipeline.admit(plan) as ticket:
                async for event in pipeline.recognize(Path(video), plan, ticket):
                    last = event
            assert isinstance(last, Recognition)
            return recognition_answer(last, pipeline.offer(plan.model))

        yield ask


@asynccontextmanager
async def ask_server(
    url: str, options: RecognitionOptions, api_key: str | None = None, *, no_store: bool = False
) -> AsyncIterator[Ask]:
    """Post videos to the service at `url`, which may ask to wait. `no_store`: as of the client."""
    async with AsyncClient(url, api_key=api_key) as client:

        async def ask(video: Given) -> RecognitionAnswer:
            return await client.recognize(video, no_store=no_store, **options)

        yield ask
