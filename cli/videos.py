"""What a command is to look at: files of this machine, or URLs that a service fetches. Knows no command."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

Given: TypeAlias = Path | str
"""A file, or the text of a URL."""


def videos_of(names: Iterable[str], *, fetched: bool, drawn: bool = False) -> list[Given]:
    """`fetched`: a service is asked, which may fetch; `drawn`: the answer is drawn into the file. Raises ValueError."""
    from fovea._calls import is_url  # brings httpx's neighbours, which `fovea --help` does without

    videos: list[Given] = []
    for name in names:
        if is_url(name):
            if not fetched:
                raise ValueError(f"{name}: URLs are fetched by a service; say which with --server, or name a file")
            if drawn:
                raise ValueError(f"{name}: --render draws into a file, and this is a URL; fetch it first")
            videos.append(name)
        elif not Path(name).is_file():
            raise ValueError(f"{name}: there is no such file; name a video")
        else:
            videos.append(Path(name))
    return videos
