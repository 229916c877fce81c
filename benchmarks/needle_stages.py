"""What a stage of a benchmark found, kept in a folder, so that a run that was stopped goes on where it was.

Knows no needle: a stage has a name and gives tensors.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor


class Stages:
    """Without a folder nothing is kept."""

    def __init__(self, folder: Path | None, settings: Mapping[str, object]) -> None:
        """ValueError where the folder holds stages of other settings."""
        self._folder = folder
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / "settings.json"
        text = json.dumps(settings, sort_keys=True, indent=1) + "\n"
        if written.exists() and written.read_text() != text:
            raise ValueError(f"{folder} holds stages of other settings than {dict(settings)}; name another folder")
        written.write_text(text)

    def tensors(self, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What `make` gives, or what it gave when this stage was last run to its end."""
        if self._folder is None:
            return make()
        path = self._folder / f"{name.replace(' ', '-')}.safetensors"
        if not path.exists():
            made = {key: tensor.contiguous() for key, tensor in make().items()}
            unfinished = path.with_suffix(".part")
            save_file(made, unfinished)
            unfinished.rename(path)
        found: dict[str, Tensor] = load_file(path)
        return found

    def tensor(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """The same for a single one."""
        return self.tensors(name, lambda: {"it": make()})["it"]
