"""`fovea streams add | list | follow | snapshot | rm`: cameras of a running service. Knows the client, and no service.

The client is imported by the commands, so that `fovea --help` is quick.
"""

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import urlsplit

import typer
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from cli import shared_options as shared
from cli.terminal import make_console, told_verdict
from fovea.words import Clock, Decode, Emit, WebhookEvent

if TYPE_CHECKING:
    from fovea import StreamOptions
    from fovea.stream_answers import GapEvent, ResultEvent, StateEvent

streams = typer.Typer(no_args_is_help=True, help="Cameras that a running service watches.")

Server = Annotated[str, typer.Option(envvar="FOVEA_SERVER", help="The service, such as http://127.0.0.1:8000.")]
ApiKey = Annotated[
    str | None,
    typer.Option(envvar="FOVEA_API_KEY", show_envvar=True, help="The service's key. Better in the variable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, one object a line, instead of a table.")]

DEFAULT_SERVER = "http://127.0.0.1:8000"


@streams.command()
def add(
    url: Annotated[str, typer.Argument(help="rtsp://camera/path; `-` reads it from standard input.")],
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    model: shared.Model = "auto",
    budget_gflops: Annotated[float | None, typer.Option(help="Mean GFLOPs per window.")] = None,
    max_gflops: Annotated[float | None, typer.Option(help="Hard ceiling for each window.")] = None,
    window_s: Annotated[float, typer.Option(help="Seconds that a result looks at.")] = 4.0,
    stride_s: Annotated[float, typer.Option(help="Seconds from one window to the next.")] = 1.0,
    top_k: shared.TopK = 5,
    min_score: Annotated[float, typer.Option(help="Labels below this are not told.")] = 0.0,
    abstain: Annotated[bool, typer.Option(help="Tell no label where it is not one of the things it knows.")] = True,
    on: Annotated[Emit, typer.Option(help="Tell every result, or changes of the best label alone.")] = Emit.RESULT,
    ttl_s: Annotated[float | None, typer.Option(help="End it after so many seconds without a reader.")] = None,
    decode: Annotated[Decode, typer.Option(help="Which frames to decode.")] = Decode.AUTO,
    transport: Annotated[str, typer.Option(help="tcp or udp.")] = "tcp",
    clock: Annotated[Clock, typer.Option(help="Whose time pictures get.")] = Clock.AUTO,
    connect_timeout_s: Annotated[float | None, typer.Option(help="Seconds for the TCP connection.")] = None,
    open_timeout_s: Annotated[float | None, typer.Option(help="Seconds from then until it plays.")] = None,
    stall_timeout_s: Annotated[float | None, typer.Option(help="Seconds without a picture until it is lost.")] = None,
    webhook_url: Annotated[str | None, typer.Option(help="Whom to tell of it, in signed messages.")] = None,
    webhook_event: Annotated[
        list[WebhookEvent] | None, typer.Option(help="Of what; any number of times. result and done, if left out.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the camera.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, kept with it; any number of times.")] = None,
) -> None:
    """Subscribe to a camera; prints the stream's id. A password belongs on standard input, not among the arguments."""
    if url == "-":
        url = sys.stdin.readline().strip()
    elif "@" in urlsplit(url).netloc:
        raise ValueError(
            "the command line is for all to see, a password is not: give `-` for the URL, and the URL on standard input"
        )
    options = {
        "model": model,
        "budget_gflops": budget_gflops,
        "max_gflops": max_gflops,
        "window_s": window_s,
        "stride_s": stride_s,
        "top_k": top_k,
        "min_score": min_score,
        "abstain": abstain,
        "on": on,
        "ttl_s": ttl_s,
        "decode": decode,
        "transport": transport,
        "clock": clock,
        "connect_timeout_s": connect_timeout_s,
        "open_timeout_s": open_timeout_s,
        "stall_timeout_s": stall_timeout_s,
        "webhook_url": webhook_url,
        "webhook_events": None if not webhook_event else [str(one) for one in webhook_event],
        "name": name,
        "labels": dict(_pair(one) for one in label or ()),
    }
    given = cast("StreamOptions", {name: value for name, value in options.items() if value is not None})
    from fovea import Client

    with Client(server, api_key=api_key) as client:
        typer.echo(client.streams.create(url, **given).id)


@streams.command("list")
def list_streams(server: Server = DEFAULT_SERVER, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """The cameras, and where they stand."""
    from fovea import Client

    with Client(server, api_key=api_key) as client:
        found = client.streams.list()
    if as_json:
        for one in found:
            typer.echo(one.model_dump_json())
        return
    table = Table(
        Column("stream", no_wrap=True),
        "camera",
        "model",
        "state",
        "decode",
        "results",
        "dropped",
        "GFLOPs",
        box=None,
        pad_edge=False,
    )
    for one in found:
        error = "" if one.status.error is None else f" ({one.status.error.error_class})"
        table.add_row(
            one.id,
            escape(one.url if one.name is None else f"{one.name} ({one.url})"),
            one.model,
            one.status.state + error,
            one.status.decode,
            str(one.counts.results),
            str(one.counts.windows_dropped),
            f"{one.counts.spent_gflops:.1f}",
        )
    make_console().print(table)


@streams.command()
def follow(
    stream: Annotated[str, typer.Argument(help="The id that `add` printed.")],
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    as_json: AsJson = False,
    since: Annotated[
        str | None, typer.Option(help="An event's id: everything after it; 0-0: all that is kept.")
    ] = None,
) -> None:
    """Results and states as they come, until the stream is deleted. Comes back after a broken connection."""
    from fovea import Client

    console = make_console()
    with Client(server, api_key=api_key) as client:
        for event in client.streams.follow(stream, last_event_id=since, reconnect_for_s=math.inf):
            if as_json:
                typer.echo(json.dumps({"id": event.id, "event": event.name, **event.data.model_dump(mode="json")}))
            else:
                console.print(_line(event.data), soft_wrap=True)


@streams.command()
def rm(
    stream: Annotated[str, typer.Argument(help="The id that `add` printed.")],
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """Unsubscribe."""
    from fovea import Client

    with Client(server, api_key=api_key) as client:
        client.streams.delete(stream)


@streams.command()
def snapshot(
    stream: Annotated[str, typer.Argument(help="The id that `add` printed.")],
    out: Annotated[Path, typer.Argument(help="Where to write the JPEG.")],
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """The camera's latest picture, as large as the model sees it."""
    from fovea import Client

    with Client(server, api_key=api_key) as client:
        out.write_bytes(client.streams.snapshot(stream))


def _pair(label: str) -> tuple[str, str]:
    key, equals, value = label.partition("=")
    if not equals:
        raise ValueError(f"--label {label}: write KEY=VALUE")
    return key, value


def _line(told: "StateEvent | ResultEvent | GapEvent") -> Text:
    from fovea.stream_answers import GapEvent, StateEvent

    if isinstance(told, GapEvent):
        return Text.assemble(("gap", "bold"), f": what came after {told.after} and before {told.before} is forgotten")
    if isinstance(told, StateEvent):
        error = told.error
        why = "" if error is None else f": {error.detail} ({error.error_class}, attempt {error.attempts})"
        return Text.assemble((told.state, "bold"), why)
    compute = told.recognition.compute
    labels = ", ".join(f"{one.name} {one.score:.2f}" for one in told.recognition.predictions) or "nothing"
    labels = told_verdict(told.recognition) + labels
    cost = f"{compute.spent_gflops:.3f} GFLOPs, {len(compute.steps)} steps, age {told.frame_age_s:.2f} s, {told.decode}"
    clock = f"{told.captured_at:%H:%M:%S}.{told.captured_at.microsecond // 1000:03}"
    return Text.assemble(f"{clock}  {labels}  ", (cost, "dim"))
