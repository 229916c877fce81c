"""The file of keys: read whole, written whole and at one stroke, for its owner's eyes alone. Knows no HTTP."""

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from service.keys.key import Key


class KeyFileError(ValueError):
    """The file cannot be used as it is. The text names the file and what is wrong with it, and shows no digest."""


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _names_are_used_once(self) -> "_Content":
        names = [key.name for key in self.keys]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} is there more than once; a name is one key's")
        return self


def read_keys(path: Path) -> tuple[Key, ...]:
    """Raises KeyFileError."""
    try:
        return _Content.model_validate_json(path.read_bytes()).keys
    except OSError as error:
        raise KeyFileError(
            f"the keys in {path} cannot be read ({error.strerror}); `fovea keys add NAME --file {path}` makes one"
        ) from None
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in error.errors())
        raise KeyFileError(f"the keys in {path} cannot be used: {told}") from None


def change_keys(path: Path, change: Callable[[tuple[Key, ...]], Sequence[Key]]) -> None:
    """Replace the keys by what `change` makes of them; a file that is not there holds none. Raises KeyFileError.

    Whoever reads meanwhile finds the old file or the new one, whole. Two who change it at once take turns.
    """
    path = path.resolve()  # what a link points at is replaced, not the link
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            flock(folder, LOCK_EX)
            keys = tuple(change(read_keys(path) if path.exists() else ()))
            _replace(path, _Content(keys=keys).model_dump_json(indent=2, exclude_defaults=False) + "\n")
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from None


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # for its owner alone: mode 600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
