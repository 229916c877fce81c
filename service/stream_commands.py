"""`fovea streams add | list | follow | rm`: cameras of a running service. Knows the API's JSON alone."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import httpx
import typer
from rich.table import Column, Table

from service.client.problems import ServiceLost, error_of
from service.streams.address import CameraUrl
from service.streams.status import Decode, Emit, StreamState
from service.terminal import make_console

streams = typer.Typer(no_args_is_help=True, help="Cameras that a running service watches.")

Server = Annotated[str, typer.Option(envvar="FOVEA_SERVER", help="The service, such as http://127.0.0.1:8000.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, one object a line, instead of a table.")]

DEFAULT_SERVER = "http://127.0.0.1:8000"
AGAIN_S = 1.0  # after a connection to the service broke


@streams.command()
def add(
    url: Annotated[str, typer.Argument(help="rtsp://camera/path; `-` reads it from standard input.")],
    server: Server = DEFAULT_SERVER,
    model: Annotated[str, typer.Option(help="A bundle's name, or auto.")] = "auto",
    budget_gflops: Annotated[float | None, typer.Option(help="Mean GFLOPs per window.")] = None,
    max_gflops: Annotated[float | None, typer.Option(help="Hard ceiling for each window.")] = None,
    window_s: Annotated[float, typer.Option(help="Seconds that a result looks at.")] = 4.0,
    stride_s: Annotated[float, typer.Option(help="Seconds from one window to the next.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="How many labels to tell.")] = 5,
    min_score: Annotated[float, typer.Option(help="Labels below this are not told.")] = 0.0,
    on: Annotated[Emit, typer.Option(help="Tell every result, or changes of the best label alone.")] = Emit.RESULT,
    ttl_s: Annotated[float | None, typer.Option(help="End it after so many seconds without a reader.")] = None,
    decode: Annotated[Decode, typer.Option(help="Which frames to decode.")] = Decode.AUTO,
    transport: Annotated[str, typer.Option(help="tcp or udp.")] = "tcp",
) -> None:
    """Subscribe to a camera; prints the stream's id. A password belongs on standard input, not among the arguments."""
    if url == "-":
        url = sys.stdin.readline().strip()
    elif CameraUrl.parse(url).userinfo:
        raise ValueError(
            "the command line is for all to see, a password is not: give `-` for the URL, and the URL on standard input"
        )
    body = {
        "url": url,
        "model": model,
        "budget_gflops": budget_gflops,
        "max_gflops": max_gflops,
        "window_s": window_s,
        "stride_s": stride_s,
        "top_k": top_k,
        "min_score": min_score,
        "on": on,
        "ttl_s": ttl_s,
        "decode": decode,
        "transport": transport,
    }
    with _client(server) as client:
        made = _answered(
            client.post("/v1/streams", json={name: value for name, value in body.items() if value is not None})
        )
    typer.echo(made.json()["id"])


@streams.command("list")
def list_streams(server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """The cameras, and where they stand."""
    with _client(server) as client:
        found: list[dict[str, Any]] = _answered(client.get("/v1/streams")).json()["streams"]
    if as_json:
        for one in found:
            typer.echo(json.dumps(one))
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
        status, counts = one["status"], one["counts"]
        error = "" if status["error"] is None else f" ({status['error']['error_class']})"
        table.add_row(
            one["id"],
            one["url"],
            one["model"],
            status["state"] + error,
            status["decode"],
            str(counts["results"]),
            str(counts["windows_dropped"]),
            f"{counts['spent_gflops']:.1f}",
        )
    make_console().print(table)


@streams.command()
def follow(
    stream: Annotated[str, typer.Argument(help="The id that `add` printed.")],
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
    since: Annotated[
        str | None, typer.Option(help="An event's id: everything after it; 0-0: all that is kept.")
    ] = None,
) -> None:
    """Results and states as they come, until the stream is deleted. Comes back after a broken connection."""
    console = make_console()
    with _client(server) as client:
        for event_id, name, data in _events(client, stream, since):
            if as_json:
                typer.echo(json.dumps({"id": event_id, "event": name, **data}))
            else:
                console.print(_line(name, data), soft_wrap=True)


@streams.command()
def rm(
    stream: Annotated[str, typer.Argument(help="The id that `add` printed.")], server: Server = DEFAULT_SERVER
) -> None:
    """Unsubscribe."""
    with _client(server) as client:
        _answered(client.delete(f"/v1/streams/{stream}"))


def _events(client: httpx.Client, stream: str, last_id: str | None) -> Iterator[tuple[str | None, str, dict[str, Any]]]:
    """(id, name, data) of each event; asks again from the last one where the connection breaks."""
    while True:
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        try:
            with client.stream("GET", f"/v1/streams/{stream}/events", headers=headers) as response:
                if not response.is_success:
                    response.read()
                _answered(response)
                for event_id, name, data in _parsed(response.iter_lines()):
                    last_id = event_id or last_id
                    yield event_id, name, data
                    if name == "state" and data["state"] == StreamState.DELETED:
                        return
        except httpx.TransportError:
            pass
        time.sleep(AGAIN_S)


def _parsed(lines: Iterator[str]) -> Iterator[tuple[str | None, str, dict[str, Any]]]:
    fields: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif not line and "data" in fields:
            yield fields.get("id"), fields["event"], json.loads(fields["data"])
            fields = {}


def _line(name: str, data: dict[str, Any]) -> str:
    if name == "state":
        error = data["error"]
        why = "" if error is None else f": {error['detail']} ({error['error_class']}, attempt {error['attempts']})"
        return f"[bold]{data['state']}[/bold]{why}"
    recognition = data["recognition"]
    labels = ", ".join(f"{one['label']} {one['score']:.2f}" for one in recognition["predictions"]) or "nothing"
    return (
        f"{data['captured_at'][11:23]}  {labels}  "
        f"[dim]{recognition['compute']['spent_gflops']:.3f} GFLOPs, {len(recognition['compute']['steps'])} steps, "
        f"age {data['frame_age_s']:.2f} s, {data['decode']}[/dim]"
    )


@contextmanager
def _client(server: str) -> Iterator[httpx.Client]:
    try:
        with httpx.Client(base_url=server, timeout=httpx.Timeout(10, read=60)) as client:
            yield client
    except httpx.TransportError as error:
        raise ServiceLost(f"{server} cannot be asked: {error or type(error).__name__}") from error


def _answered(response: httpx.Response) -> httpx.Response:
    if not response.is_success:
        raise error_of(response)
    return response
