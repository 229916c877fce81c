#!/bin/sh
# Makes the virtual environment when there is none and installs Fovea with locked packages: install.sh [dev]
# PYTHON names the interpreter; TORCH_INDEX_URL adds an index to find torch in (docs/quickstart.md: "The CPU build of torch").
# Every package has its version and its hash in requirements*.lock. torch alone has a version only (pyproject.toml): its CPU
# and its CUDA build have different hashes, and different needs.
set -eu
cd "$(dirname "$0")/.."
extra=${1:-}
python=${PYTHON:-python3}
venv=${VENV:-.venv}

say() { printf '%s\n' "$*" >&2; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "Fovea needs Python 3.11 or newer; '$python' is $("$python" --version 2>&1 || true)."
    say "Install one (Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.12 ..."
    exit 1
fi

# Asked of the folder, not of a stamp: a set-up that was cut off is made anew.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        say "'$python' cannot make virtual environments (no ensurepip). On Debian and Ubuntu:"
        say "    apt-get install python$version-venv"
        exit 1
    fi
    say "Making $venv with $("$python" --version) ..."
    "$python" -m venv --clear "$venv"
fi

install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}
# What tests need in environments of their own.
beside() {
    "$venv/bin/python" -m venv "$venv/moto"
    "$venv/moto/bin/python" -m pip install --quiet --disable-pip-version-check \
        --require-hashes --requirement requirements-moto.lock
    "$venv/bin/python" -m venv "$venv/ray"
    "$venv/ray/bin/python" -m pip install --quiet --disable-pip-version-check \
        --require-hashes --requirement requirements-ray.lock
    # Not within the reach of Ray's own daemons: they would import some of them, and start three times as slowly.
    "$venv/bin/python" - "$venv/ray" <<'PYTHON'
import pathlib, sys, sysconfig
(packages,) = pathlib.Path(sys.argv[1]).glob("lib/python*/site-packages")
ours = sysconfig.get_paths()["purelib"]
daemons = ("ray/dashboard/", "runtime_env/agent/", "log_monitor.py", "monitor.py")
(packages / "fovea.pth").write_text(
    f"import site, sys; any(one in ' '.join(sys.orig_argv) for one in {daemons}) or site.addsitedir({ours!r})\n"
)
PYTHON
}

began=$(date +%s)
say "Installing Fovea${extra:+ [$extra]} and its locked packages into $venv (a minute or two the first time) ..."
if [ "$extra" = dev ]; then
    say "For the tests, meanwhile: a server of S3's interface, and Ray with our packages within its reach ..."
    beside &
    side=$!
    trap 'kill $side 2>/dev/null || true' EXIT
fi
install --require-hashes --requirement "requirements${extra:+-$extra}.lock"
# All but torch is there by now, so nothing else is looked for, what builds Fovea included.
install --no-build-isolation ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} \
    --editable ./fovea --editable ".[${extra:-torch}]"
if [ "$extra" = dev ]; then
    wait "$side"
    trap - EXIT
fi

say "installed in $(($(date +%s) - began)) s"
touch "$venv/.runtime"
if [ "$extra" = dev ]; then touch "$venv/.dev"; fi
