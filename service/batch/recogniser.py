"""Recognises one input after the other, or many side by side, in this process: input in, row out.

The engine is the service's, and so are its limits on a video; its bounds on waiting are not, since nobody waits here.
"""

import os
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovea.errors import DeadlineBeforeGlance, FoveaError, OutOfMemory, Unavailable, VideoUnreadable
from service.api.recognitions.answers import recognition_answer
from service.api.recognitions.options import Ceilings, parse_options
from service.batch.inputs import Input
from service.batch.objects import fetch_object, is_object
from service.batch.rows import answered, failed
from service.batch.terms import Terms
from service.engine.pipeline import Pipeline
from service.engine.request import Plan, Recognition
from service.metrics import Metrics
from service.settings import Settings
from service.wiring.recognising import open_pipeline

SIDE_BY_SIDE_PER_CORE = 8  # videos: some are decoded, some wait for the device, some are on their way from a store
LEAST_SIDE_BY_SIDE = 16
_NO_BOUND = 1e9  # GFLOPs and seconds: all that runs side by side may wait


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Raises, from all of it, what is no fault of the video: Unavailable, StoreAway, OSError."""

    side_by_side: int
    row: Callable[[Input], Awaitable[tuple[dict[str, Any], bool]]]
    """The row's plain values without `source`, and whether it is an answer."""


@asynccontextmanager
async def open_recogniser(terms: Terms, num_cores: int | None = None) -> AsyncIterator[Recogniser]:
    """Load the models. Raises InvalidRequest where the terms cannot be. `num_cores`: of this process; None: all."""
    cores = num_cores or len(os.sched_getaffinity(0))
    side_by_side = max(LEAST_SIDE_BY_SIDE, SIDE_BY_SIDE_PER_CORE * cores)
    given: dict[str, Any] = {
        "degrade": False,  # rows do not depend on how busy it is
        "max_decode_places": 4 * side_by_side,  # costly videos may hold half of them
        "max_requests": side_by_side,
        "max_wait_s": _NO_BOUND,  # nobody waits for an answer: what is slow is done all the same
        "max_queued_gflops": _NO_BOUND,
        "max_costly_decode_s": _NO_BOUND,
    }
    given |= {} if terms.precision is None else {"precision": terms.precision}
    given |= {} if num_cores is None else {"num_threads": num_cores, "decode_children": num_cores}
    settings = Settings.read(**given)
    ceilings = Ceilings(top_k=settings.max_top_k, deadline_ms=settings.max_deadline_ms)
    options = parse_options(terms.options, ceilings)
    async with open_pipeline(settings, Metrics()) as pipeline:
        plan = pipeline.plan(options)

        async def row(one: Input) -> tuple[dict[str, Any], bool]:
            try:
                async with _as_file(one, settings.spool_dir) as path:
                    recognition = await _recognised(pipeline, path, plan)
            except (DeadlineBeforeGlance, OutOfMemory) as error:
                return failed(error), False
            except Unavailable:
                raise
            except FoveaError as error:
                return failed(error), False
            return answered(recognition_answer(recognition, pipeline.offer(plan.model))), True

        yield Recogniser(side_by_side, row)


async def _recognised(pipeline: Pipeline, path: Path, plan: Plan) -> Recognition:
    with pipeline.admit(plan) as ticket:
        async for event in pipeline.recognize(path, plan, ticket):
            last = event
    assert isinstance(last, Recognition)
    return last


@asynccontextmanager
async def _as_file(one: Input, spool_dir: Path) -> AsyncIterator[Path]:
    """Where the video can be opened; an object is fetched, and gone afterwards."""
    if not is_object(one.source):
        _check_is_file(one.path)
        yield one.path
        return
    with tempfile.TemporaryDirectory(prefix="fovea-batch-", dir=spool_dir) as folder:
        path = Path(folder) / "video"
        await fetch_object(one.source, path)
        yield path


def _check_is_file(path: Path) -> None:
    """Raises VideoUnreadable in words: libav's would tell of a damaged file."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise VideoUnreadable("it is no file; name files in lists, and folders as a source of their own")
        if not os.access(path, os.R_OK):
            raise VideoUnreadable("the file may not be read by whoever runs this; see its permissions")
    except OSError as error:
        raise VideoUnreadable(f"there is no such file ({error.strerror}); see the list, or where it is read") from None
