"""The engine of a run on a Ray cluster: actors that each hold a recogniser, fed by Ray Data. Knows no journal.

Which cluster is Ray's own environment: RAY_ADDRESS, or else a cluster of this machine alone. Every node needs Fovea,
the bundles and the videos at the same paths, or videos in S3.
"""

import asyncio
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any

from fovea.errors import FoveaError
from service.batch.inputs import Input
from service.batch.recogniser import Recogniser, open_recogniser
from service.batch.run import Keep
from service.batch.terms import Terms

CORES_PER_ACTOR = 4  # at most: enough for decoding children and the device thread to keep each other busy
BATCH = 64  # inputs of one task: what is done again where a node is lost
CHUNK = 50_000  # inputs that are handed to Ray at a time
_HANDED_ON = ("FOVEA_", "AWS_")  # variables of this process that the actors get


class RayRefused(ValueError):
    """The run cannot be done on Ray; the text says why, and what to do."""


def check_ray() -> None:
    """Raises RayRefused where Ray is not installed."""
    try:
        import ray.data  # noqa: F401, PLC0415
    except ImportError:
        raise RayRefused(
            "--engine ray needs Ray, which is not installed: pip install 'fovea-server[ray]', here and on every "
            "node of the cluster"
        ) from None


def answer_on_ray(terms: Terms, pending: Iterator[tuple[int, Input]], keep: Keep, stop: Callable[[], bool]) -> None:
    """A `service.batch.run.Engine`."""
    check_ray()
    _connect()
    import ray  # noqa: PLC0415

    try:
        while chunk := list(islice(pending, CHUNK)):
            if not _answer_chunk(terms, chunk, keep, stop):
                return
    finally:
        ray.shutdown()


def _connect() -> None:
    """To the cluster, or to one of this machine alone. Raises RayRefused where that cannot be had."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing tells others of a run
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    import ray  # noqa: PLC0415

    variables = {name: value for name, value in os.environ.items() if name.startswith(_HANDED_ON)}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ray.init(runtime_env={"env_vars": variables}, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # no narrower: Ray's node.py raises plain Exceptions where a node does not start
        told = str(error).split("\n", 1)[0]
        raise RayRefused(
            f"no Ray cluster is to be had ({told}); see RAY_ADDRESS, then the same command goes on"
        ) from error
    for number, handler in handlers.items():  # Ray has put its own in their place, which do not wait
        signal.signal(number, handler)
    ray.data.DataContext.get_current().enable_progress_bars = False  # there is one already


def _answer_chunk(terms: Terms, chunk: list[tuple[int, Input]], keep: Keep, stop: Callable[[], bool]) -> bool:
    """False where it was stopped. Raises RayRefused with what an actor said."""
    import ray  # noqa: PLC0415

    inputs = dict(chunk)
    num_cores, num_actors = _pool(ray.nodes())
    items = [{"number": number, "source": one.source, "key": one.key} for number, one in chunk]
    answers = ray.data.from_items(items, override_num_blocks=-(-len(items) // BATCH)).map_batches(
        RecognisesBatches,
        fn_constructor_args=(terms, num_cores),
        batch_size=BATCH,
        num_cpus=num_cores,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=num_actors),
    )
    for found in answers.iter_rows():
        if found["refused"]:
            raise RayRefused(found["refused"])
        keep(found["number"], inputs[found["number"]], json.loads(found["row"]), found["answered"])
        if stop():
            return False
    return True


def _pool(nodes: list[dict[str, Any]]) -> tuple[int, int]:
    """Cores of an actor, and how many actors have room."""
    cores = [int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]]
    cores = [count for count in cores if count > 0]
    if not cores:
        raise RayRefused("the Ray cluster has no CPU to work with; start a node with some, or see RAY_ADDRESS")
    num_cores = min(CORES_PER_ACTOR, *cores)
    return num_cores, sum(count // num_cores for count in cores)


class RecognisesBatches:
    """What Ray Data calls with batches of inputs, on an actor. The recogniser lives on a loop of its own thread.

    What is no fault of a video is handed back as `refused`, for the driver to tell: Ray would wrap it in its own words.
    """

    def __init__(self, terms: Terms, num_cores: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        threading.Thread(target=self._loop.run_forever, name="recogniser", daemon=True).start()
        self._refused, self._recogniser = "", None
        try:
            self._recogniser = self._run(self._stack.enter_async_context(open_recogniser(terms, num_cores)))
        except (FoveaError, ValueError, OSError) as error:
            self._refused = str(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        numbers = [int(number) for number in batch["number"]]
        inputs = [Input(source, bytes(key)) for source, key in zip(batch["source"], batch["key"], strict=True)]
        rows: list[tuple[dict[str, Any], bool]] = []
        if self._recogniser is not None:
            try:
                rows = self._run(_rows(self._recogniser, inputs))
            except (FoveaError, ValueError, OSError) as error:
                self._refused = str(error)
        if self._refused:
            rows = [({}, False)] * len(numbers)
        return {
            "number": numbers,
            "row": [json.dumps(row) for row, _ in rows],
            "answered": [answered for _, answered in rows],
            "refused": [self._refused] * len(numbers),
        }

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


async def _rows(recogniser: Recogniser, inputs: list[Input]) -> list[tuple[dict[str, Any], bool]]:
    turn = asyncio.Semaphore(recogniser.side_by_side)

    async def one(video: Input) -> tuple[dict[str, Any], bool]:
        async with turn:
            return await recogniser.row(video)

    return await asyncio.gather(*map(one, inputs))
