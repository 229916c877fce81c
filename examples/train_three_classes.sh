#!/usr/bin/env bash
# Teach Fovea three labels of your own, measure them, and print how to serve them.
#
#   examples/train_three_classes.sh VIDEOS OUT [options of fovea train]
#
# VIDEOS holds train/<label>/*.mp4 and val/<label>/*.mp4. OUT is made. Stopped half-way, the same command goes on.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
fi
videos=$1 out=$2
shift 2
fovea=$(dirname "$0")/../.venv/bin/fovea
[ -x "$fovea" ] || fovea=fovea

"$fovea" train "$videos" --out "$out/run" "$@"
"$fovea" calibrate "$out/run" --out "$out/model" --data "$videos"
"$fovea" evaluate "$out/model" "$videos" --out "$out/results"
echo "To serve it: fovea serve --bundle $out/model"
