"""`fovea timeline FILE`: when what happens in a long video, here or by a service.

The models are imported where they are needed, so that `fovea --help` is quick.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli import shared_options as shared
from cli import timeline_text
from cli.jobs import DEFAULT_SERVER, submit_timeline
from cli.terminal import make_console
from cli.videos import videos_of
from fovea.words import Decode

if TYPE_CHECKING:
    from cli.videos import Given
    from fovea import TimelineJobOptions, TimelineOptions
    from fovea._timelines import TimelineItem
    from fovea.timeline_answers import TimelineAnswer

stderr = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def timeline(
    file: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="The video; it may be hours long. A URL is for --server to fetch.")
    ],
    model: shared.Model = "auto",
    task: shared.Task = None,
    window_s: Annotated[float | None, typer.Option(help="Seconds that the model sees at once.")] = None,
    stride_s: Annotated[float | None, typer.Option(help="Seconds from one window to the next.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Windows that score less have no label.")] = None,
    abstain: shared.Abstain = None,
    label: shared.Labels = None,
    merge: Annotated[bool, typer.Option(help="Join neighbours of one label.")] = True,
    decode: Annotated[Decode, typer.Option(help="Which frames are decoded.")] = Decode.AUTO,
    budget_gflops: Annotated[float | None, typer.Option(help="Ceiling for all of it.")] = None,
    budget_gflops_per_s: Annotated[float | None, typer.Option(help="Ceiling for each second of the video.")] = None,
    max_gflops: Annotated[float | None, typer.Option(help="Ceiling for one look.")] = None,
    deadline_ms: Annotated[int | None, typer.Option(help="As far as it gets within this time.")] = None,
    top_k: Annotated[int | None, typer.Option(help="How many labels to tell of a segment.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The answer as JSON.")] = False,
    as_srt: Annotated[bool, typer.Option("--srt", help="Subtitles: a label while it lasts.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A line for each segment.")] = False,
    server: shared.Server = None,
    api_key: shared.ServersKey = None,
    render: shared.Render = None,
    as_job: Annotated[
        bool, typer.Option("--async", help="Do not wait: print the id of the job of the service (--server).")
    ] = False,
    webhook_url: shared.WebhookUrl = None,
) -> None:
    """Tell when what happens in a video: in this process, or by a running service with --server."""
    if webhook_url is not None and not as_job:
        raise ValueError("--webhook-url tells of jobs, and this is none: add --async")
    (video,) = videos_of([file], fetched=as_job or server is not None, drawn=render is not None)
    if as_json + as_srt + as_csv > 1:
        raise ValueError("--json, --srt and --csv are three forms of one answer; choose one of them")
    if render is not None:
        from cli.render.output import check_output

        check_output(render, Path(file))
    options = {
        "model": model,
        "task": task,
        "window_s": window_s,
        "stride_s": stride_s,
        "min_score": min_score,
        "abstain": abstain,
        "labels": label or None,
        "merge": merge,
        "decode": decode.value,
        "budget_gflops": budget_gflops,
        "budget_gflops_per_s": budget_gflops_per_s,
        "max_gflops": max_gflops,
        "deadline_ms": deadline_ms,
        "top_k": top_k,
    }
    if as_job:
        if render is not None or as_json or as_srt or as_csv:
            raise ValueError("--async does not wait for an answer: leave out its forms and --render, see `fovea jobs`")
        wanted = {name: value for name, value in (options | {"webhook_url": webhook_url}).items() if value is not None}
        submit_timeline(video, cast("TimelineJobOptions", wanted), server or DEFAULT_SERVER, api_key)
        return
    given = cast("TimelineOptions", {name: value for name, value in options.items() if value is not None})
    answer = asyncio.run(_answered(video, given, server, api_key))
    if as_json:
        typer.echo(answer.model_dump_json())
    elif as_srt:
        typer.echo(timeline_text.subtitles(answer), nl=False)
    elif as_csv:
        typer.echo(timeline_text.table(answer), nl=False)
    else:
        timeline_text.draw(make_console(), video, answer)
    if render is not None:
        from cli.timeline_picture import render as draw_into
        from service.settings import Settings

        draw_into(Path(file), answer, render, Settings.read().timeline_limits())
        stderr.print(f"drew {render}")


async def _answered(
    video: "Given", options: "TimelineOptions", server: str | None, api_key: str | None
) -> "TimelineAnswer":
    from fovea.timeline_answers import TimelineAnswer, TimelineProgress

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=stderr,
        disable=not stderr.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task("looking", total=None)
        told = _told_here(Path(video), options) if server is None else _told(video, options, server, api_key)
        async with aclosing(told) as items:
            async for item in items:
                if isinstance(item, TimelineProgress):
                    bar.update(
                        task,
                        total=item.duration_s,
                        completed=item.done_s,
                        description=f"{item.segments} segments, {item.spent_gflops:.4g} GFLOPs",
                    )
                elif isinstance(item, TimelineAnswer):
                    return item
    raise AssertionError("a timeline without an answer is an error")


async def _told(
    video: "Given", options: "TimelineOptions", server: str, api_key: str | None
) -> "AsyncGenerator[TimelineItem, None]":
    from fovea import AsyncClient

    async with (
        AsyncClient(server, api_key=api_key) as client,
        aclosing(client.timeline_segments(video, **options)) as items,
    ):
        async for item in items:
            yield item


async def _told_here(file: Path, options: "TimelineOptions") -> "AsyncGenerator[TimelineItem, None]":
    """Load the models into this process. Settings come from the environment, as for the service."""
    from fovea._calls import query_of
    from service.api.recognitions.options import Ceilings
    from service.api.timelines.options import parse_timeline_options
    from service.api.timelines.telling import tell
    from service.metrics import Metrics
    from service.settings import Settings
    from service.wiring.recognising import make_timelines, open_pipeline

    settings, metrics = Settings.read(), Metrics()
    ceilings = Ceilings(top_k=settings.max_top_k, deadline_ms=settings.max_deadline_ms)
    parsed = parse_timeline_options(query_of(options).items(), ceilings)
    async with open_pipeline(settings, metrics) as pipeline:
        timelines = make_timelines(settings, metrics, pipeline)
        plan = timelines.settle(parsed)
        async with aclosing(tell(timelines, file, plan, pipeline.offer(plan.look.model))) as items:
            async for item in items:
                yield item
