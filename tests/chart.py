"""The Helm chart, rendered by Helm's own engine (the package helm-python-sdk) in a process of its own.

`python -m tests.chart lint | render NAME VALUES_JSON | package FOLDER` prints JSON.
"""

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "k8s" / "chart"


def helm(*arguments: str) -> Any:
    """Raises ValueError with what Helm says."""
    command = [sys.executable, "-m", "tests.chart", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    return json.loads(done.stdout)


@functools.cache
def _manifests(release: str, values: str) -> str:
    found = helm("render", release, values)
    return "\n---\n".join(text for path, text in sorted(found.items()) if path.endswith(".yaml"))


def chart(release: str = "fovea", **values: Any) -> list[dict[str, Any]]:
    """Every object that the chart makes of these values."""
    return [one for one in yaml.safe_load_all(_manifests(release, json.dumps(values, sort_keys=True))) if one]


def values_of(name: str) -> dict[str, Any]:
    """Of `values-NAME.yaml`; empty where there is none: `values.yaml` is what holds without."""
    file = CHART / f"values-{name}.yaml"
    found: dict[str, Any] = yaml.safe_load(file.read_text()) if file.is_file() else {}
    return found


def main(command: str, *arguments: str) -> None:
    import helm_python  # noqa: PLC0415 - a Go runtime: not into the process of the tests

    if command == "lint":
        said = helm_python.lint(str(CHART))
    elif command == "package":
        said = str(helm_python.package(str(CHART), destination=arguments[0]))
    else:
        release, values = arguments
        with helm_python.Chart.load(str(CHART)) as loaded:
            loaded.validate_schema(loaded.merge_values(json.loads(values)))
            said = loaded.render(json.loads(values), name=release, namespace="default")
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
