"""`fovea frames`: the frames of a video that a model would be shown, as PNG, with their times. Knows no recognition.

They come out of the very code that the service decodes with; nothing of it is repeated here.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fovea.errors import VideoError, VideoLimitExceeded

if TYPE_CHECKING:  # importing them for real would slow `fovea --help` down
    from service.settings import Settings
    from video.clip import Clip, ClipRule, VideoLimits

commands = typer.Typer()


@commands.command()
def frames(
    file: Annotated[Path, typer.Argument(help="The video.", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option(help="Folder to write to; it is made where there is none.")],
    model: Annotated[
        str | None, typer.Option(help="A bundle's name; default: the one that `auto` begins with.")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="The same frames as a player shows them, before the model's crop and scale.")
    ] = False,
) -> None:
    """Write the frames that a model is shown of a video: PNG files and frames.json."""
    from service.settings import Settings

    settings = Settings.read()
    try:
        clip = sampled(str(file), clip_rule(settings, model), settings.video_limits(), whole=whole)
    except VideoError as error:
        typer.echo(f"fovea: {error}", err=True)
        raise typer.Exit(1) from None
    write(clip, out)
    typer.echo(f"wrote {len(clip.pts_s)} frames to {out}", err=True)


def sampled(path: str, rule: "ClipRule", limits: "VideoLimits", *, whole: bool) -> "Clip":
    """The clip that the service would make; `whole`: its frames at the video's displayed size. Raises VideoError."""
    from video.clip import ClipRule
    from video.file.decode import decode

    try:
        clip = decode(path, rule, limits)
        if whole:
            info = clip.info
            clip = decode(path, ClipRule(rule.num_frames, info.height_px, info.width_px, "stretch"), limits)
        return clip
    except MemoryError:
        raise VideoLimitExceeded(
            "decoding needs more memory than there is; send the video at a lower resolution"
        ) from None


def clip_rule(settings: "Settings", model: str | None) -> "ClipRule":
    """Of the bundle of that name; of the default one, else of the first that is trained. Raises ValueError."""
    from models import available_models
    from models.bundle import Bundle

    found = available_models(*settings.bundles, shipped=settings.shipped_bundles)
    name = model or settings.default_model
    if name is not None and name not in found:
        raise ValueError(
            f"{name!r} is not among the bundles found: {', '.join(found) or 'none'}; `fovea models` lists them"
        )
    if not found:
        raise ValueError("no bundle was found; point FOVEA_BUNDLES at yours")
    bundles = [Bundle.read(folder) for folder in ([found[name]] if name is not None else found.values())]
    return min(bundles, key=lambda bundle: not bundle.trained).clip_rule


def write(clip: "Clip", out: Path) -> None:
    """PNG files and frames.json. `frames_missing` counts the damaged ones, too: neither can be seen."""
    import av

    out.mkdir(parents=True, exist_ok=True)
    files = [f"frame-{number:03d}.png" for number in range(len(clip.pts_s))]
    for name, frame_HWC in zip(files, clip.frames_THWC, strict=True):
        av.VideoFrame.from_ndarray(frame_HWC, format="rgb24").save(out / name, pred="none")
    info = clip.info
    facts = {
        "frames": [{"file": name, "pts_s": round(pts_s, 6)} for name, pts_s in zip(files, clip.pts_s, strict=True)],
        "duration_s": round(info.duration_s, 6),
        "width": info.width_px,
        "height": info.height_px,
        "codec": info.codec,
        "frames_missing": info.frames_missing + info.frames_damaged,
    }
    (out / "frames.json").write_text(json.dumps(facts, indent=1) + "\n")
