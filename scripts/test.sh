#!/bin/sh
# Every test, in two runs side by side: those over HTTP wait for cameras and browsers most of the time, the others compute.
# Tests of real video files are in the first: the second takes longer.
# With arguments they are pytest's, and there is one run: test.sh -k budget
set -u
cd "$(dirname "$0")/.."
python=${PY:-.venv/bin/python}
if [ $# -gt 0 ]; then
    exec "$python" -m pytest "$@"
fi
log=$(mktemp)
"$python" -m pytest tests/e2e tests/integration/video >"$log" 2>&1 &
beside=$!
trap 'kill $beside 2>/dev/null; rm -f "$log"' EXIT
trap 'exit 130' INT TERM
"$python" -m pytest tests/unit tests/integration --ignore tests/integration/video
status=$?
wait $beside
status_beside=$?
cat "$log"
[ $status -ne 0 ] || status=$status_beside
exit $status
