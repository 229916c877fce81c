"""Keys for tests: values, and files of them."""

from pathlib import Path
from typing import Any

from service.keys.file import change_keys
from service.keys.key import Key, digest_of, new_secret


def a_key(name: str = "desk", secret: str = "fovea_s", **said: Any) -> Key:
    return Key.model_validate({"name": name, "sha256": digest_of(secret), **said})


def key_file(path: Path, **described: dict[str, Any]) -> dict[str, str]:
    """A file with a key for each name; the secrets by name. `key_file(path, desk={"scopes": ["admin"]})`."""
    secrets = {name: new_secret() for name in described}
    keys = [a_key(name, secrets[name], **said) for name, said in described.items()]
    change_keys(path, lambda kept: [*kept, *keys])
    return secrets
