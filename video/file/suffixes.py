"""How files of videos are called. Opens none: what is in a file, its bytes say (`probe`)."""

SUFFIXES = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".ts",
    ".mpg",
    ".mpeg",
    ".flv",
    ".ogv",
    ".wmv",
    ".asf",
    ".3gp",
)


def is_video_name(name: str) -> bool:
    """Whether a file of that name, without folders, is taken for a video where a whole folder is read."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")
