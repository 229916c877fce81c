"""Two checkouts' services side by side: what a release gains in videos a second, at the glance and by default.

Each runs its own code and its own bundles in the same environment; eight clients post the same clips over HTTP to one
and then the other, in turns, and medians are told. Budgets are firm, and each answer is computed.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.peers import Entrant, Row, race, started
from benchmarks.phone_clips import ClipSet
from tests.streaming import free_port

_MODULES = ("service.cli", "cli.main")  # of the command line, in the order in which they were moved
_OTHER, _OURS = "the other checkout", "this one"


def race_against(checkout: Path, sets: Sequence[ClipSet], rounds: int) -> list[Row]:
    """A row for each set of clips and entrant: at the glance alone, ours with each model that ships, or by default."""
    told: list[Row] = []
    with ExitStack() as stack:
        other, ours = _served(stack, checkout.resolve()), _served(stack, None)
        for some in sets:
            field = [*_entrants(_OTHER, *other, some), *_entrants(_OURS, *ours, some)]
            judge = next(one.name for one in field if one.name.startswith(_OURS))
            rows = race(field, some.name, [path for path, _ in some.clips], rounds, judge)
            told += rows
            _print(rows)
    return told


def _served(stack: ExitStack, checkout: Path | None) -> tuple[str, psutil.Process, list[Mapping[str, Any]]]:
    """(URL, process, models as it lists them, the default one first)."""
    port = free_port()
    root = Path(__file__).parents[1] if checkout is None else checkout
    module = next(one for one in reversed(_MODULES) if (root / f"{one.replace('.', '/')}.py").exists())
    command = [module, "serve", "--port", str(port)]
    process = stack.enter_context(started(command, port, "/readyz", checkout=checkout, FOVEA_DEGRADE="false"))
    url = f"http://127.0.0.1:{port}"
    models = httpx.get(f"{url}/v1/models", trust_env=False).json()["models"]
    return url, process, models


def _entrants(
    whose: str, url: str, process: psutil.Process, models: Sequence[Mapping[str, Any]], some: ClipSet
) -> list[Entrant]:
    """Each of its AdaFocus models: at the glance alone, or at its default budget."""
    made = []
    for model in models:
        if not model["name"].startswith("adafocus"):
            continue
        asked, what = f"{url}/v1/recognitions?model={model['name']}", f"{whose}, {model['name']}"
        if some.at_glance:
            asked, what = f"{asked}&max_gflops={model['least_gflops']}", f"{what}, first step"
        made.append(Entrant(what, asked, process))
    return made


def _print(rows: Sequence[Row]) -> None:
    before = rows[0]
    print(f"\n{rows[0].clips}")
    print(f"  {'':<52}{'videos/s':>9}{'times':>7}{'CPU ms':>8}{'times':>7}{'p50 s':>7}")
    for row in rows:
        print(
            f"  {row.entrant:<52}{row.videos_per_s:>9.2f}{row.videos_per_s / before.videos_per_s:>7.2f}"
            f"{1000 * row.cpu_s_per_video:>8.0f}{before.cpu_s_per_video / row.cpu_s_per_video:>7.2f}{row.p50_s:>7.2f}",
            flush=True,
        )
