"""`fovea keys add | list | revoke`: the file of keys. A key is printed once, when it is made. Knows no HTTP.

The file is read and written here, also while a service reads it: that one takes up what has changed by itself.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal import make_console

if TYPE_CHECKING:
    from service.keys.key import Key

keys = typer.Typer(no_args_is_help=True, help="Keys that open a service to others.")

File = Annotated[Path, typer.Option("--file", envvar="FOVEA_API_KEYS_FILE", help="The file of keys.")]
PRESENT = typer.Argument(help="The name of the key: who uses it, or what for.")


@keys.command()
def add(
    name: Annotated[str, PRESENT],
    file: File,
    scope: Annotated[
        list[str] | None, typer.Option(help="recognize, streams or admin; repeatable. Absent: recognize.")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help="Requests that it may make in a minute.")] = None,
    requests_per_day: Annotated[int | None, typer.Option(help="Requests that it may make in a day.")] = None,
    gflops_per_minute: Annotated[float | None, typer.Option(help="GFLOPs that it may use in a minute.")] = None,
    gflops_per_day: Annotated[float | None, typer.Option(help="GFLOPs that it may use in a day.")] = None,
    priority: Annotated[float, typer.Option(help="Its weight beside other keys where there is not room for all.")] = 1,
    expires: Annotated[
        datetime | None, typer.Option(help="The day, or the time in UTC, from which it opens nothing any more.")
    ] = None,
) -> None:
    """Make a key. It is printed once, as the last word; the file holds its SHA-256 alone."""
    from pydantic import ValidationError

    from service.keys.file import KeyFileError, change_keys
    from service.keys.key import Key, digest_of, new_secret

    limits = {
        "requests_per_minute": requests_per_minute,
        "requests_per_day": requests_per_day,
        "gflops_per_minute": gflops_per_minute,
        "gflops_per_day": gflops_per_day,
    }
    secret = new_secret()
    described = {
        "name": name,
        "sha256": digest_of(secret),
        "scopes": tuple(dict.fromkeys(scope or ["recognize"])),
        "limits": limits,
        "priority": priority,
        "expires": None if expires is None else expires.replace(tzinfo=UTC),
    }
    try:
        key = Key.model_validate(described)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ValueError(f"there is no such key: {told}") from None

    def added(kept: "tuple[Key, ...]") -> "list[Key]":
        if any(one.name == name for one in kept):
            raise KeyFileError(
                f"{file} has a key {name!r} already; choose another name, names stay in the records of use"
            )
        return [*kept, key]

    change_keys(file, added)
    typer.echo(f"{name} opens {', '.join(key.scopes)}. This key is told now and never again: {secret}")


@keys.command("list")
def list_keys(file: File) -> None:
    """The keys, what they open and how much of it; never the keys themselves."""
    from rich.table import Table

    from service.keys.file import read_keys

    table = Table("key", "opens", "requests", "GFLOPs", "priority", "state", box=None, pad_edge=False)
    for key in read_keys(file):
        limits = key.limits
        table.add_row(
            key.name,
            ", ".join(key.scopes),
            _limits(limits.requests_per_minute, limits.requests_per_day),
            _limits(limits.gflops_per_minute, limits.gflops_per_day),
            f"{key.priority:g}",
            key.objection(datetime.now(UTC))
            or (f"until {key.expires:%Y-%m-%d %H:%M} UTC" if key.expires else "in force"),
        )
    make_console().print(table)


@keys.command()
def revoke(name: Annotated[str, PRESENT], file: File) -> None:
    """Let a key open nothing any more. It stays in the file, so that its name is not used again."""
    from service.keys.file import KeyFileError, change_keys

    def revoked(kept: "tuple[Key, ...]") -> "list[Key]":
        if all(one.name != name for one in kept):
            raise KeyFileError(f"{file} has no key {name!r}; `fovea keys list` names them all")
        return [one.model_copy(update={"revoked": True}) if one.name == name else one for one in kept]

    change_keys(file, revoked)
    typer.echo(f"{name} opens nothing any more")


def _limits(per_minute: float | None, per_day: float | None) -> str:
    told = [(per_minute, "a minute"), (per_day, "a day")]
    return ", ".join(f"{most:g} {per}" for most, per in told if most is not None) or "no limit"
