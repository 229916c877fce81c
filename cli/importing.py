"""`fovea import | export | name-labels`: other projects' weights into bundles, bundles into other formats.

Torch is imported inside the commands, so that `fovea --help` is quick.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.training import stderr

commands = typer.Typer(add_completion=False)
Triple = tuple[float, float, float]


@commands.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(help="A file (.pyth, .pth, .pth.tar, .pt, .safetensors), or a HuggingFace folder.")
    ],
    labels: Annotated[
        Path, typer.Option(help="A label a line in the head's order; or CSV or JSON, which may name them for people.")
    ],
    out: Annotated[Path, typer.Option(help="The bundle's folder; its last part becomes the bundle's name.")],
    frames: Annotated[int | None, typer.Option(help="Another number of frames: times are resized.", min=1)] = None,
    size: Annotated[int | None, typer.Option(help="Another side of a frame or view in pixels.", min=1)] = None,
    views: Annotated[
        Literal["1", "3"] | None, typer.Option(help="TimeSformer's steps: the centre, or the two ends as well; 3.")
    ] = None,
    heads: Annotated[int | None, typer.Option(help="TimeSformer's heads, where they are not 64 wide.", min=1)] = None,
    cube: Annotated[int | None, typer.Option(help="Side in pixels of AdaFocus' cubes; 128.", min=1)] = None,
    stride: Annotated[
        int | None, typer.Option(help="Between sampled frames, at 30 a second; 0: the whole video.", min=0)
    ] = None,
    mean: Annotated[Triple | None, typer.Option(help="Of pixels in [0, 1], three numbers.")] = None,
    std: Annotated[Triple | None, typer.Option(help="The same.")] = None,
    channel_order: Annotated[Literal["rgb", "bgr"] | None, typer.Option(help="What it was trained on.")] = None,
    task: Annotated[str | None, typer.Option(help="Accuracies compare within one task; the labels' file name.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the weights.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a bundle that stands there.")] = False,
) -> None:
    """Make a bundle of a TimeSformer, TSM, AdaFocusV2 or Uni-AdaFocus that others trained.

    `fovea calibrate BUNDLE --data VIDEOS` gives it budgets.
    """
    from training.importing import Asked, import_checkpoint

    asked = Asked(
        num_frames=frames,
        view_size=None if size is None else (size, size),
        num_views=None if views is None else int(views),
        num_heads=heads,
        cube_px=cube,
        stride=stride,
        mean=mean,
        std=std,
        channel_order=channel_order,
        task=task,
        licence=licence,
    )
    imported = import_checkpoint(source, labels, out, asked, overwrite=replace)
    for note in imported.notes:
        stderr.print(f"- {note}")
    bundle = imported.bundle
    stderr.print(f"{bundle.folder}: {bundle.digest}, {sum(bundle.step_flops) / 1e9:.4g} GFLOPs a video")


@commands.command()
def name_labels(
    bundle: Annotated[Path, typer.Argument(help="The folder of a bundle that stands.")],
    labels: Annotated[
        Path, typer.Option(help="CSV with the columns label, display_name, description; or JSON with these members.")
    ],
) -> None:
    """Give a bundle's labels names and descriptions for people. Weights, calibration and labels stay."""
    from training.label_file import read_label_texts
    from training.naming import name_labels as write_names

    named = write_names(bundle, read_label_texts(labels))
    manifest = named.manifest
    stderr.print(f"{named.folder}: {named.digest}, {len(manifest.label_texts)} of {len(manifest.labels)} labels named")


@commands.command()
def export(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    to: Annotated[
        Literal["onnx", "openvino", "hf"], typer.Option("--format", help="hf: for transformers, a TimeSformer only.")
    ],
) -> None:
    """Write a model for another library: a whole clip to logits in one pass, with labels and clip rule beside it."""
    from training.exporting import export_bundle

    stderr.print(f"written: {export_bundle(bundle, out, to)}")
