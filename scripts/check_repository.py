"""Finds what a stranger would trip over in tracked files: machine paths, hosts of package registries, dead links.

Knows nothing of Python code; ruff and mypy read that. `python scripts/check_repository.py [folder]` prints one line per
finding and exits 1 if there is any.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:home|root|Users|work)/[\w.~-]+")
REGISTRY_HOST = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|download\.pytorch\.org|anaconda\.org|crates\.io|proxy\.golang\.org)\b"
)
MARKDOWN_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def tracked_files(root: Path) -> list[Path]:
    """Files git knows of under `root` and that are still there."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    return [root / name for name in listing.split("\0") if name and (root / name).is_file()]


def findings_in(text: str, root: Path) -> Iterator[str]:
    """Machine paths (the usual homes, and wherever this checkout stands) and registry hosts in one file's text."""
    for number, line in enumerate(text.splitlines(), start=1):
        if found := MACHINE_PATH.search(line):
            yield f"{number}: path of one machine: {found[0]}"
        elif str(root) in line:
            yield f"{number}: path of this checkout: {root}"
        if found := REGISTRY_HOST.search(line):
            yield f"{number}: host of a package registry: {found[0]}"


def dead_links_in(page: Path, text: str) -> Iterator[str]:
    """Relative links of a Markdown page that lead to no file. Links to other sites are not followed."""
    prose = FENCED_CODE.sub("", text)
    for target in MARKDOWN_LINK.findall(prose):
        path = target.split("#")[0]
        if path and "://" not in target and not target.startswith("mailto:") and not (page.parent / path).exists():
            yield f"dead link: {target}"


def check(root: Path) -> list[str]:
    """Every finding under `root`, as `file:line: what`."""
    findings = []
    for file in tracked_files(root):
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # weights and pictures hold no paths to read
        name = file.relative_to(root)
        findings += [f"{name}:{finding}" for finding in findings_in(text, root)]
        if file.suffix == ".md":
            findings += [f"{name}: {finding}" for finding in dead_links_in(file, text)]
    return findings


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    findings = check(root)
    print("\n".join(findings) or "Repository rules hold: no machine path, no registry host, no dead link.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
