#!/bin/sh
# Starts the service on this machine and says how to ask it: run.sh [options of `fovea serve`]
set -eu
cd "$(dirname "$0")/.."
address="http://${FOVEA_HOST:-127.0.0.1}:${FOVEA_PORT:-8000}"

cat >&2 <<END
Fovea will answer at $address: open it in a browser (its API: $address/docs), or from another terminal:

    curl -F video=@clip.mp4 $address/v1/recognitions

END
exec "${VENV:-.venv}/bin/fovea" serve "$@"
