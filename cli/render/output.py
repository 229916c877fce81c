"""Where a drawing goes, and that nothing else is lost for it. Knows both kinds of drawing."""

import os
from pathlib import Path

from cli.render.film import write_film
from cli.render.footage import open_footage
from cli.render.sheet import write_sheet
from fovea.answers import RecognitionAnswer
from video.clip import VideoLimits

WRITERS = {".mp4": write_film, ".png": write_sheet}


def check_output(out: Path, video: Path) -> None:
    """Raises ValueError where `out` cannot be what is to be drawn of `video`; before anything is computed."""
    if out.suffix.lower() not in WRITERS:
        raise ValueError(f"--render {out}: write a video (.mp4) or a contact sheet (.png), and say so by the suffix")
    if not out.parent.is_dir():
        raise ValueError(f"--render {out}: there is no folder {out.parent}; make it first")
    if out.exists() and out.samefile(video):
        raise ValueError(f"--render {out}: that is the video itself, which would be lost; write to another file")


def render(video: Path, answer: RecognitionAnswer, out: Path, limits: VideoLimits) -> None:
    """Draw `answer` into its video; the file at `out` is whole or not there. Raises VideoError kin, ValueError."""
    write = WRITERS[out.suffix.lower()]
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        write(open_footage(video, answer.video, limits), answer, part)
        part.replace(out)
    except OSError as error:
        raise ValueError(f"{out} could not be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
