"""`fovea serve | classify | models`, and the commands of others. Recognition is the pipeline's, here or at a URL.

Torch and the models are imported by the commands that need them, so that `fovea --help` is quick.
"""

import asyncio
import json
import logging
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli import shared_options as shared
from cli import terminal
from cli.batch import batch
from cli.demo.command import demo_camera
from cli.evaluation import commands as evaluation_commands
from cli.frames import commands as frames_commands
from cli.importing import commands as importing_commands
from cli.jobs import DEFAULT_SERVER, submit
from cli.jobs import jobs as jobs_commands
from cli.keys import keys as keys_commands
from cli.streams import streams as streams_commands
from cli.timeline import timeline
from cli.training import commands as training_commands
from cli.videos import Given, videos_of
from fovea.errors import FoveaError

if TYPE_CHECKING:
    from fovea import JobOptions, RecognitionOptions
    from fovea.answers import RecognitionAnswer

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
stderr = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)  # square brackets in names are names
SETTINGS = (
    "All else is set by environment variables FOVEA_*: each has its sentence, its default "
    f"and a worked number in {Path(__file__).parents[1] / 'service' / 'settings.py'}"
)

cli.add_typer(training_commands)
cli.add_typer(evaluation_commands)
cli.add_typer(importing_commands)
cli.add_typer(frames_commands)
cli.add_typer(streams_commands, name="streams")
cli.add_typer(jobs_commands, name="jobs")
cli.add_typer(keys_commands, name="keys")
cli.command("demo-camera")(demo_camera)
cli.command("timeline")(timeline)
cli.command("batch")(batch)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"fovea {version('fovea-server')}")
        raise typer.Exit


@cli.callback()
def fovea(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Video recognition with a FLOP budget per request."""


def main() -> None:
    """The console script: errors of the user's making are a sentence, not a traceback."""
    try:
        cli()
    except (FoveaError, ValueError) as error:
        stderr.print(f"fovea: {error}", style="red")
        sys.exit(2)


@cli.command(epilog=SETTINGS)
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on instead of FOVEA_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on instead of FOVEA_PORT.")] = None,
    bundle: Annotated[
        list[Path] | None, typer.Option(help="Serve this bundle, and no other; repeatable.", exists=True)
    ] = None,
) -> None:
    """Serve recognitions over HTTP until SIGTERM; then finish what was admitted, and stop."""
    from service import logs, server
    from service.settings import Settings

    given: dict[str, Any] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    if bundle:
        given |= {"bundles": tuple(bundle), "shipped_bundles": False}
    logs.install("text")  # warnings about the settings themselves
    settings = Settings.read(**given)
    logs.install(settings.log_format)
    server.serve(settings)


@cli.command()
def classify(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE|URL...", help="Videos to recognise; URLs are for --server to fetch.")
    ],
    model: shared.Model = "auto",
    task: shared.Task = None,
    budget_gflops: shared.Budget = None,
    min_budget_gflops: Annotated[
        float | None, typer.Option(help="Least budget that a busy service may grant instead.")
    ] = None,
    max_gflops: shared.Ceiling = None,
    deadline_ms: Annotated[int | None, typer.Option(help="Best answer within this time.")] = None,
    top_k: shared.TopK = 5,
    min_score: shared.MinScore = None,
    abstain: shared.Abstain = None,
    label: shared.Labels = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of tables.")] = False,
    server: shared.Server = None,
    api_key: shared.ServersKey = None,
    render: shared.Render = None,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Have --server compute the answer anew, and hold nothing of it.")
    ] = False,
    together: Annotated[
        bool, typer.Option("--together", help="All files in one request to --server, which looks at a few at a time.")
    ] = False,
    as_job: Annotated[
        bool, typer.Option("--async", help="Do not wait: print the id of each job of the service (--server).")
    ] = False,
    webhook_url: shared.WebhookUrl = None,
) -> None:
    """Recognise videos: in this process, or by a running service with --server."""
    if webhook_url is not None and not as_job:
        raise ValueError("--webhook-url tells of jobs, and this is none: add --async")
    if no_store and server is None and not as_job:
        raise ValueError(
            "--no-store is for a service, which holds answers, and none is asked: add --server, or leave it"
        )
    if together and (server is None or as_job):
        raise ValueError("--together puts all files into one request: name the service with --server, without --async")
    if together and render is not None:
        raise ValueError("--together tells of several videos, and --render draws one: leave one of the two out")
    videos = videos_of(files, fetched=as_job or server is not None, drawn=render is not None)
    if render is not None:
        from cli.render.output import check_output

        if len(files) > 1:
            raise ValueError(f"--render draws one video, and there are {len(files)}; name one of them")
        check_output(render, Path(files[0]))
    options = {
        "model": model,
        "task": task,
        "budget_gflops": budget_gflops,
        "min_budget_gflops": min_budget_gflops,
        "max_gflops": max_gflops,
        "deadline_ms": deadline_ms,
        "top_k": top_k,
        "min_score": min_score,
        "abstain": abstain,
        "labels": label or None,
    }
    if as_job:
        if render is not None or as_json:
            raise ValueError("--async does not wait for an answer: leave out --json and --render, see `fovea jobs`")
        wanted = {name: value for name, value in (options | {"webhook_url": webhook_url}).items() if value is not None}
        submit(videos, cast("JobOptions", wanted), server or DEFAULT_SERVER, api_key, no_store=no_store)
        return
    given = cast("RecognitionOptions", {name: value for name, value in options.items() if value is not None})
    if together:
        assert server is not None
        num_failed = asyncio.run(
            _classify_together(videos, given, as_json=as_json, server=server, api_key=api_key, no_store=no_store)
        )
    else:
        num_failed = asyncio.run(
            _classify(videos, given, as_json=as_json, server=server, api_key=api_key, no_store=no_store, drawing=render)
        )
    if num_failed:
        stderr.print(f"{num_failed} of {len(files)} videos could not be recognised", style="red")
        raise typer.Exit(1)


async def _classify(
    videos: list[Given],
    options: "RecognitionOptions",
    *,
    as_json: bool,
    server: str | None,
    api_key: str | None,
    no_store: bool,
    drawing: Path | None,
) -> int:
    """Ask for one video after the other, print each answer as it comes; the number of videos that failed."""
    from cli.asking import ask_here, ask_server

    num_failed = 0
    progress = Progress(
        TextColumn("recognising"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=stderr,
        disable=len(videos) == 1 or not stderr.is_terminal,
        transient=True,
    )
    async with (
        ask_server(server, options, api_key, no_store=no_store) if server is not None else ask_here(options) as ask
    ):
        with progress:
            for video in progress.track(videos):
                try:
                    answer = await ask(video)
                except FoveaError as error:
                    num_failed += 1
                    _tell(video, error, as_json=as_json)
                    continue
                _tell(video, answer, as_json=as_json)
                if drawing is not None:
                    assert isinstance(video, Path)
                    _draw(video, answer, drawing)
    return num_failed


async def _classify_together(
    videos: list[Given],
    options: "RecognitionOptions",
    *,
    as_json: bool,
    server: str,
    api_key: str | None,
    no_store: bool,
) -> int:
    """Ask for all in one request, print the answers in their order; the number of videos that failed."""
    from fovea import AsyncClient

    async with AsyncClient(server, api_key=api_key) as client:
        answers = await client.recognize(videos, no_store=no_store, **options)
    for video, answer in zip(videos, answers, strict=True):
        _tell(video, answer, as_json=as_json)
    return sum(isinstance(answer, FoveaError) for answer in answers)


def _tell(video: Given, answer: "RecognitionAnswer | FoveaError", *, as_json: bool) -> None:
    if isinstance(answer, FoveaError):
        stderr.print(f"{video}: {answer}", style="red")
    elif as_json:
        typer.echo(json.dumps({"file": str(video), **answer.model_dump(mode="json", exclude_unset=True)}))
    else:
        terminal.print_recognition(video, answer)


def _draw(path: Path, answer: "RecognitionAnswer", out: Path) -> None:
    from cli.render import render
    from service.settings import Settings

    render(path, answer, out, Settings.read().video_limits())
    stderr.print(f"drew {out}")


@cli.command()
def models(as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False) -> None:
    """List the bundles that `serve` would load: task, labels, prices as the files say, and whether they are trained."""
    from models import available_models
    from models.listing import read_listing
    from service.settings import Settings

    settings = Settings.read()
    found = available_models(*settings.bundles, shipped=settings.shipped_bundles)
    bundles = [read_listing(folder) for folder in found.values()]
    if as_json:
        typer.echo(json.dumps([terminal.bundle_facts(bundle) for bundle in bundles]))
    else:
        terminal.print_bundles(bundles)


@cli.command()
def convert(
    bundles: Annotated[
        list[Path] | None, typer.Argument(help="Folders of bundles; none: those that serve would load.", exists=True)
    ] = None,
) -> None:
    """Convert bundles for OpenVINO, each into its own folder: they are then served where torch is not installed."""
    from models import available_models
    from models.listing import read_listing
    from models.preparing import put_into_bundle
    from service.settings import Settings

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = Settings.read()
    folders = bundles or available_models(*settings.bundles, shipped=settings.shipped_bundles).values()
    for folder in folders:
        typer.echo(put_into_bundle(read_listing(folder.resolve())))


if __name__ == "__main__":
    main()
