"""`fovea jobs list | get | wait | cancel`, `classify --async`, `timeline --async`: jobs of a running service.

Knows no service.

The client is imported by the commands, so that `fovea --help` is quick.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from cli import timeline_text
from cli.terminal import make_console, print_recognition
from fovea.words import JobState

if TYPE_CHECKING:
    from cli.videos import Given
    from fovea import JobAnswer, JobOptions, TimelineJobOptions

jobs = typer.Typer(no_args_is_help=True, help="Jobs of a running service: what nobody waits for.")

Server = Annotated[str, typer.Option(envvar="FOVEA_SERVER", help="The service, such as http://127.0.0.1:8000.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, one object a line, instead of a table.")]
ApiKey = Annotated[
    str | None,
    typer.Option(envvar="FOVEA_API_KEY", show_envvar=True, help="The service's key. Better in the variable."),
]
JobId = Annotated[str, typer.Argument(help="The id that --async printed.")]

DEFAULT_SERVER = "http://127.0.0.1:8000"


@jobs.command("list")
def list_jobs(
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    state: Annotated[JobState | None, typer.Option(help="Those of this state alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """The jobs, the latest first."""
    from fovea import Client

    with Client(server, api_key=api_key) as client:
        found = [job.answer for job in client.jobs(state)]
    if as_json:
        for one in found:
            typer.echo(one.model_dump_json(exclude={"result", "problem"}))
        return
    columns = (Column("job", no_wrap=True), "kind", "state", "progress", "attempts", "created")
    table = Table(*columns, box=None, pad_edge=False)
    for one in found:
        created = f"{one.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(one.id, one.kind, one.state, f"{one.progress:.0%}", str(one.attempts), created)
    make_console().print(table)


@jobs.command()
def get(job: JobId, server: Server = DEFAULT_SERVER, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Where a job stands, and its answer."""
    from fovea import Client

    with Client(server, api_key=api_key) as client:
        _tell(client.job(job).answer, as_json=as_json)


@jobs.command()
def wait(job: JobId, server: Server = DEFAULT_SERVER, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Wait until a job has ended; its answer."""
    from fovea import Client

    with Client(server, api_key=api_key) as client:
        waited = client.job(job)
        waited.wait()
        _tell(waited.answer, as_json=as_json)


@jobs.command()
def cancel(job: JobId, server: Server = DEFAULT_SERVER, api_key: ApiKey = None) -> None:
    """End a job at its next step."""
    from fovea import Client

    with Client(server, api_key=api_key) as client:
        typer.echo(client.job(job).cancel().state)


def submit(
    videos: "Sequence[Given]", options: "JobOptions", server: str, api_key: str | None, *, no_store: bool
) -> None:
    """Hand videos in, and print the id of each one's job."""
    from fovea import Client

    with Client(server, api_key=api_key) as client:
        for video in videos:
            typer.echo(client.submit(video, no_store=no_store, **options).id)


def submit_timeline(video: "Given", options: "TimelineJobOptions", server: str, api_key: str | None) -> None:
    """Hand a long video in, and print its job's id."""
    from fovea import Client

    with Client(server, api_key=api_key) as client:
        typer.echo(client.submit_timeline(video, **options).id)


def _tell(answer: "JobAnswer", *, as_json: bool) -> None:
    from fovea import RecognitionAnswer

    if as_json:
        typer.echo(answer.model_dump_json())
        return
    console = make_console()
    console.print(f"{answer.id}: {answer.state}, {answer.progress:.0%}, begun {answer.attempts} times")
    if answer.problem is not None:
        console.print(answer.problem.detail, style="red")
    for one in answer.deliveries:
        console.print(f"{one.event} to its receiver: {one.state} after {one.attempts} attempts {one.error or ''}")
    if isinstance(answer.result, RecognitionAnswer):
        print_recognition(answer.id, answer.result)
    elif answer.result is not None:
        timeline_text.draw(console, answer.id, answer.result)
