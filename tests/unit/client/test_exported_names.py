"""What `import fovea` gives: the clients, the errors, and every type that an answer is made of."""

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from enum import Enum
from types import ModuleType
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel

import fovea
from fovea import errors

ASKED_WITH = {
    "AsyncClient",
    "AsyncJob",
    "AsyncJobs",
    "AsyncStreams",
    "Client",
    "Job",
    "JobList",
    "JobOptions",
    "JobStateEvent",
    "Jobs",
    "RecognitionOptions",
    "StreamOptions",
    "Streams",
    "TimelineJobOptions",
    "TimelineOptions",
    "VideoInput",
}


def public_methods(owner: type) -> Iterator[Callable[..., Any]]:
    return (method for name, method in inspect.getmembers(owner, inspect.isfunction) if not name.startswith("_"))


def types_in(annotation: Any) -> Iterator[type]:
    """The annotation's own types, and those of the fields of each."""
    for inner in get_args(annotation):
        yield from types_in(inner)
    if isinstance(annotation, type) and annotation.__module__.startswith("fovea"):
        if issubclass(annotation, Enum):
            yield annotation
        elif issubclass(annotation, BaseModel) or is_dataclass(annotation):
            yield annotation
            for field in get_type_hints(annotation).values():
                yield from types_in(field)


def answered() -> set[str]:
    """The names of all that a client's methods give back."""
    owners = (fovea.Client, fovea.AsyncClient, fovea.Streams, fovea.AsyncStreams, fovea.Job, fovea.AsyncJob)
    hints = [get_type_hints(method).get("return") for owner in owners for method in public_methods(owner)]
    return {kind.__name__ for hint in hints for kind in types_in(hint)}


def error_names() -> set[str]:
    return {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.FoveaError)
    }


def test_the_clients_the_errors_and_all_that_is_answered_are_exported_and_nothing_else() -> None:
    assert {"RecognitionAnswer", "CubePlace", "ExitReason", "ResultEvent", "StreamError", "ErrorClass"} <= answered()
    assert set(fovea.__all__) == ASKED_WITH | error_names() | answered()


def test_names_are_listed_in_order_and_each_once() -> None:
    assert fovea.__all__ == sorted(set(fovea.__all__))
    assert set(fovea.__all__) <= set(dir(fovea))


@pytest.mark.parametrize("name", fovea.__all__)
def test_a_name_leads_to_the_thing_of_that_name(name: str) -> None:
    thing = getattr(fovea, name)
    assert not isinstance(thing, ModuleType)
    assert getattr(thing, "__name__", name) == name


def test_a_misspelt_name_is_an_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="Clinet"):
        _ = fovea.Clinet  # type: ignore[attr-defined]


def test_asking_for_an_error_loads_neither_httpx_nor_pydantic() -> None:
    program = "import sys; from fovea import FoveaError; sys.exit(bool({'httpx', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
