"""Options that several commands have, worded once. Knows not what they do with them."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Model: TypeAlias = Annotated[str, typer.Option(help="A bundle's name, or auto.")]
Task: TypeAlias = Annotated[str | None, typer.Option(help="The label list to answer with.")]
Budget: TypeAlias = Annotated[float | None, typer.Option(help="Mean GFLOPs per video; tunes the thresholds.")]
Ceiling: TypeAlias = Annotated[float | None, typer.Option(help="Hard ceiling for each video.")]
TopK: TypeAlias = Annotated[int, typer.Option(help="How many labels to tell.")]
MinScore: TypeAlias = Annotated[float | None, typer.Option(help="Labels below this score are not told.")]
Abstain: TypeAlias = Annotated[
    bool | None, typer.Option("--abstain/--no-abstain", help="Say so where it is not one of the things it knows.")
]
Labels: TypeAlias = Annotated[list[str] | None, typer.Option(help="Tell this label, and no other; repeatable.")]
Server: TypeAlias = Annotated[str | None, typer.Option(help="Ask this service, such as http://127.0.0.1:8000.")]
ServersKey: TypeAlias = Annotated[
    str | None,
    typer.Option(envvar="FOVEA_API_KEY", show_envvar=True, help="The key of that service. Better in the variable."),
]
Render: TypeAlias = Annotated[
    Path | None, typer.Option(help="Draw the answer into the video (.mp4) or a contact sheet (.png).")
]
WebhookUrl: TypeAlias = Annotated[str | None, typer.Option(help="With --async: whom to tell once it is done.")]
