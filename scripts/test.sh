#!/bin/sh
# Every test, in three runs side by side: cameras wait for frames and clients for servers, so two cores serve all three.
# Tests of integration are with the cameras: that run would be the shortest.
# With arguments they are pytest's, and there is one run: test.sh -k budget
set -u
cd "$(dirname "$0")/.."
python=${PY:-.venv/bin/python}
if [ $# -gt 0 ]; then
    exec "$python" -m pytest "$@"
fi
logs=$(mktemp -d)
"$python" -m pytest tests/e2e/streams tests/integration >"$logs/cameras" 2>&1 &
cameras=$!
"$python" -m pytest tests/e2e --ignore tests/e2e/streams >"$logs/clients" 2>&1 &
clients=$!
trap 'kill $cameras $clients 2>/dev/null; rm -rf "$logs"' EXIT
trap 'exit 130' INT TERM
"$python" -m pytest tests/unit
status=$?
wait $cameras || status=$?
wait $clients || status=$?
cat "$logs/cameras" "$logs/clients"
exit $status
