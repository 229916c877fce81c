#!/bin/sh
# Times a stranger's first answer: first-ten-minutes.sh [CLIP]. Clones this repository into an empty folder and copies the
# blocks of README's "Start" there, verbatim, in their order. CLIP: a video; absent: a drawn one that comes with the page.
# Prints the seconds of each step, and the minutes from clone to first answer. Needs git, make, curl, python3 and port 8000.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
clip=${1:-$here/service/web/clips/handshake.mp4}
folder=$(mktemp -d)
server=
trap 'test -z "$server" || kill -- -"$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
trap 'exit 130' INT # else not every shell runs the line above
trap 'exit 143' TERM
began=$(date +%s.%N)
since=$began

step() { # NAME: what ended now
    now=$(date +%s.%N)
    awk -v name="$1" -v from="$since" -v to="$now" 'BEGIN { printf "%-32s %7.1f s\n", name, to - from }'
    since=$now
}

block() { # NUMBER LANGUAGE: the block of that number among those of the language below "## Start"
    awk -v number="$1" -v fence="\`\`\`$2" '
        /^## / { inside = ($0 == "## Start") }
        inside && $0 == fence { count++; copying = (count == number); next }
        /^```$/ { copying = 0 }
        copying' "$folder/fovea/README.md"
}

ready() { curl -fsS --noproxy '*' -o "$folder/ready" http://127.0.0.1:8000/readyz 2>/dev/null; }

if ready; then
    echo "something answers on port 8000 already; end it first" >&2
    exit 1
fi
git clone --quiet "$here" "$folder/fovea"
cd "$folder/fovea"
cp "$clip" clip.mp4
step "git clone"

run=$(block 1 sh)
echo "\$ $run"
setsid env -u VIRTUAL_ENV -u VENV sh -c "$run" >"$folder/log" 2>&1 &
server=$!
until [ -e .venv/.runtime ]; do
    kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.2
done
step "$run: packages"
until ready; do
    kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.2
done
step "$run: models, until ready"

command=$(block 1 bash)
echo "\$ $command"
answer=$(sh -c "$command")
step "curl: the first answer"
awk -v from="$began" -v to="$since" 'BEGIN { printf "clone to first answer: %.1f minutes\n", (to - from) / 60 }'

.venv/bin/python -c "$(block 1 python)"
step "Python: the second answer"
echo "$answer" | cut -c 1-160
