#!/bin/sh
# Starts the service on this machine and says how to ask it: run.sh [options of `fovea serve`]
set -eu
cd "$(dirname "$0")/.."
address="http://${FOVEA_HOST:-127.0.0.1}:${FOVEA_PORT:-8000}"

cat >&2 <<END
Fovea will answer at $address: open it in a browser (its API: $address/docs), or from another terminal:

    curl -F video=@clip.mp4 $address/v1/recognitions

It does so once the log says \`ready\`. The first start prepares the models for this machine, which takes about half a minute
(minutes on a busy one); later starts take seconds. Ctrl-C ends it.

END
exec "${VENV:-.venv}/bin/fovea" serve "$@"
