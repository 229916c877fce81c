"""What a room says it does not know, it does not load: looked up in a fresh interpreter, and in the imports themselves.

Two kinds of promise are held. Rooms named here load none of the heavy packages. And wherever a module of `service/` or
`cli/` says in its docstring "Knows no ...", the nouns are translated by `NOUNS` into what it must not load or import.
"""

import ast
import functools
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "openvino", "fastapi", "redis", "av")

# What each room may load of the heavy packages: nothing, but HTTP in the rooms of HTTP.
ROOMS = {
    "fovea": (),
    "fovea.errors": (),
    "fovea.words": (),
    "video": (),
    "video.clip": (),
    "video.children.sandbox": (),
    "models": (),
    "models.recognizer": (),
    "models.thresholds": (),
    "models.catalogue": (),
    "models.loading": (),
    "models.adafocus.family": (),
    "models.mobile_former.family": (),
    "models.timesformer.family": (),
    "models.tsm.family": (),
    "models.runtime.openvino_runtime": (),
    "service": (),
    "service.engine.scheduler": (),
    "service.engine.budget": (),
    "service.engine.admission": (),
    "service.engine.engine": (),
    "service.engine.pipeline": (),
    "service.streams": (),
    "service.streams.supervisor": (),
    "service.ledger.base": (),
    "service.ledger.memory": (),
    "service.settings": (),
    "service.metrics": (),
    "service.api": (),
    "service.api.recognitions.routes": ("fastapi",),
    "service.api.streams.routes": ("fastapi",),
    "service.app": ("fastapi", "redis"),  # the wiring: it loads torch with the models, not before
    "service.server": ("fastapi", "redis"),
    "cli.main": (),
    "cli.asking": (),
}


@functools.cache
def loaded_by(*modules: str) -> frozenset[str]:
    """Everything in `sys.modules` after importing `modules` in an interpreter of their own."""
    program = f"import sys, json, {', '.join(modules)}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return frozenset(json.loads(done.stdout))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_loads_no_heavy_package_that_it_may_not(room: str) -> None:
    forbidden = set(HEAVY) - set(ROOMS[room])
    alike = [other for other in ROOMS if ROOMS[other] == ROOMS[room]]
    if loaded_by(*alike) & forbidden:  # one interpreter for all of them, and one each only where there is a culprit
        assert loaded_by(room) & forbidden == set()


def test_the_command_line_says_what_it_can_do_without_pydantic_and_numpy() -> None:
    """They take longer to load than `fovea --help` may take."""
    assert loaded_by("cli.main") & {"pydantic", "numpy", "httpx"} == set()


def test_a_service_that_sends_no_traces_does_not_import_opentelemetry() -> None:
    """FastAPI does, its interface alone; and redis-py looks whether the SDK is there."""
    assert "service.tracing.otel" not in loaded_by("service.app")
    importing = {module for module, file in MODULES.items() if "opentelemetry" in imports_of(file)}
    assert importing == {"service.tracing.otel"}


def test_a_heavy_package_would_be_noticed() -> None:
    assert "av" in loaded_by("video.file.decode")
    assert "redis" in loaded_by("service.ledger.redis_ledger")


@dataclass(frozen=True)
class Unknown:
    """What "Knows no NOUN" forbids.

    `loaded`: not even at second hand. `imported`: not by the module itself; `package:name` is one name of a package,
    and a package stands for all that is in it.
    """

    loaded: tuple[str, ...] = ()
    imported: tuple[str, ...] = ()


HTTP = Unknown(loaded=("fastapi", "starlette", "uvicorn", "sse_starlette", "httpx"))
NETWORK = Unknown(loaded=("torch", "openvino", "safetensors"))
MODEL = Unknown(loaded=NETWORK.loaded, imported=("models.loading", "models.runtime", "models.adafocus"))
VIDEO = Unknown(loaded=("av",), imported=("video.file", "video.children"))
CAMERA = Unknown(loaded=("av",), imported=("video.camera.feed", "video.camera.rtsp"))
CLOCK = Unknown(imported=("time", "datetime"))

NOUNS = {
    "HTTP": HTTP,
    "job": Unknown(imported=("service.jobs.job", "service.jobs.records", "service.jobs.runner", "service.jobs.desk")),
    "queue": Unknown(imported=("service.jobs.local_queue", "service.jobs.redis_queue", "streaq")),
    "collector": Unknown(loaded=("opentelemetry.sdk",), imported=("opentelemetry",)),
    "socket": Unknown(imported=("socket", "httpcore", "httpx", "service.webhooks.sender")),
    "message": Unknown(imported=("service.webhooks.message",)),
    "policy": Unknown(imported=("service.addresses",)),
    "network": NETWORK,
    "network layer": NETWORK,
    "model": MODEL,
    "models": MODEL,
    "torch": NETWORK,
    "video": VIDEO,
    "video file": VIDEO,
    "upload": Unknown(imported=("service.api.body",)),
    "form": Unknown(imported=("python_multipart", "service.api.body.multipart")),
    "camera": CAMERA,
    "cameras": CAMERA,
    "RTSP": Unknown(imported=("video.camera", "cli.demo.server")),
    "libav": Unknown(loaded=("av",)),
    "engine": Unknown(imported=("service.engine.engine",)),
    "service": Unknown(imported=("service",)),
    "clock": CLOCK,
    "clock of its own": CLOCK,
    "thread": Unknown(imported=("threading", "concurrent", "queue")),
    "request": Unknown(imported=("service.engine.request", "fastapi:Request", "starlette.requests")),
    "route": Unknown(imported=("fastapi:APIRouter", "starlette.routing")),
    "error": Unknown(imported=("fovea.errors",)),
    "status by number": Unknown(imported=("service.metrics",)),
    "event by name": Unknown(imported=("fovea", "service.engine")),
    "option": Unknown(imported=("service.api.recognitions.options", "service.api.streams.options")),
    "file": Unknown(imported=("tempfile", "os", "shutil", "service.api.body.spool")),
    "cube": Unknown(imported=("fovea.answers:CubePlace", "models.recognizer:Cube")),
    "label": Unknown(imported=("fovea.answers:Prediction",)),
    "table": Unknown(imported=("rich",)),
    "command": Unknown(imported=("typer",)),
    "JSON": Unknown(imported=("json", "fovea.answers", "fovea.stream_answers", "pydantic")),
    "ledger": Unknown(imported=("service.ledger",)),
    "event": Unknown(imported=("fovea.stream_answers", "service.streams")),
    "recognition": Unknown(imported=("service.engine.request:Recognition", "fovea.answers")),
    "journal": Unknown(imported=("service.batch.journal",)),
    "answer": Unknown(imported=("fovea.answers", "service.batch.rows")),
    "file of results": Unknown(imported=("service.batch.writing",)),
    "terminal": Unknown(imported=("rich", "typer")),
    "nothing of what is kept": Unknown(imported=("service.streams",)),
    "lease": Unknown(imported=("service.streams.supervisor",)),
    "page by name": Unknown(imported=("service.api.pages.playground", "service.api.pages.problem_pages")),
    "part that uses them": Unknown(imported=("service", "models", "cli", "fovea")),
    "prices": Unknown(imported=("service.engine.budget:Offer", "models.flops")),
    "Redis": Unknown(loaded=("redis",)),
    "where it is kept": Unknown(loaded=("redis", "sqlite3")),
    "what events say": Unknown(imported=("fovea.stream_answers", "fovea.answers")),
    "nothing of streams": Unknown(imported=("service.streams",)),
    "nothing of how an answer came about": Unknown(imported=("service", "models.loading")),
    "nothing of contact sheets": Unknown(imported=("cli.render.sheet",)),
    "nothing of films": Unknown(imported=("cli.render.film",)),
    "nothing else of the wiring": Unknown(imported=("service.app", "service.wiring", "service.server")),
    "nothing else": Unknown(imported=("service", "models", "video", "fastapi", "starlette")),
}

SENTENCE = re.compile(r"[Kk]nows ((?:[^.]|\.(?!\s|$))*)")
SPLIT = re.compile(r"[,;]? and |[,;] | nor | but ")


def claims_of(docstring: str) -> list[str]:
    """The nouns of "Knows no A, no B and no C", "knows neither A nor B", "knows X and nothing of Y"."""
    nouns = []
    for sentence in SENTENCE.findall(" ".join(docstring.split())):
        neither = False
        for part in SPLIT.split(sentence):
            if part.startswith("neither "):
                neither = True
                nouns.append(part.removeprefix("neither "))
            elif part.startswith("no "):
                nouns.append(part.removeprefix("no "))
            elif part.startswith("nothing") or neither:
                nouns.append(part)
    return [noun.split(":")[0].strip() for noun in nouns]


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def docstring_of(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text())) or ""


MODULES = {module_of(file): file for package in ("service", "cli") for file in sorted((ROOT / package).rglob("*.py"))}
CLAIMS = [(module, noun) for module, file in MODULES.items() for noun in dict.fromkeys(claims_of(docstring_of(file)))]


def imports_of(file: Path) -> set[str]:
    """What the module imports, wherever it stands: `package`, `package.module`, `package:name`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module} | {f"{node.module}:{alias.name}" for alias in node.names}
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def lies(imports: set[str], loaded: frozenset[str], unknown: Unknown) -> set[str]:
    """What is known though it must not be."""
    names = {name for name in imports for no in unknown.imported if name == no or name.startswith((no + ".", no + ":"))}
    return names | (loaded & set(unknown.loaded))


@pytest.mark.parametrize(("module", "noun"), CLAIMS)
def test_what_a_docstring_says_the_module_does_not_know_it_does_not_know(module: str, noun: str) -> None:
    assert noun in NOUNS, f"{module} says that it knows no {noun!r}: say in NOUNS what that forbids, or reword it"
    unknown = NOUNS[noun]
    assert lies(imports_of(MODULES[module]), frozenset(), unknown) == set()
    together = [other for other, same in CLAIMS if same == noun] if unknown.loaded else []
    if together and lies(set(), loaded_by(*together), unknown):
        assert lies(set(), loaded_by(module), unknown) == set()


@pytest.mark.parametrize(
    ("docstring", "nouns"),
    [
        ("Decides. Knows no model, no thread and no HTTP; FLOPs are plain ints.", ["model", "thread", "HTTP"]),
        ("Reads. Knows neither models nor prices.\n\nMore.", ["models", "prices"]),
        ("Counts. Knows counts and measured rates; no clock, no video.", ["clock", "video"]),
        (
            "Tables. Knows the API's schemas and nothing of how an\nanswer came about.",
            ["nothing of how an answer came about"],
        ),
        ("The loop. Owns the device; knows no HTTP and no video file.", ["HTTP", "video file"]),
        ("Routes. Knows HTTP, not how it is done.", []),
    ],
)
def test_claims_are_read_as_people_read_them(docstring: str, nouns: list[str]) -> None:
    assert claims_of(docstring) == nouns


def test_a_lie_is_noticed_at_first_and_at_second_hand() -> None:
    assert lies({"fastapi", "fastapi:Request"}, frozenset(), NOUNS["request"]) == {"fastapi:Request"}
    assert lies({"service.engine.engine"}, frozenset({"torch", "numpy"}), NOUNS["torch"]) == {"torch"}
    assert lies({"timeit", "datetime:UTC"}, frozenset(), NOUNS["clock"]) == {"datetime:UTC"}


def test_there_are_claims_to_hold() -> None:
    assert len(CLAIMS) > 40
