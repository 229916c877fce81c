#!/usr/bin/env bash
# Serve weights that you already have: a TimeSformer of its authors, HuggingFace or MMAction2; TSM; AdaFocusV2; Uni-AdaFocus.
#
#   examples/import_checkpoint.sh CHECKPOINT LABELS OUT [options of fovea import]
#
# CHECKPOINT is a file or a HuggingFace folder, LABELS a text file with a label per line in the head's order. OUT is made.
set -euo pipefail

if [ $# -lt 3 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
fi
checkpoint=$1 labels=$2 out=$3
shift 3
fovea=$(dirname "$0")/../.venv/bin/fovea
[ -x "$fovea" ] || fovea=fovea

"$fovea" import "$checkpoint" --labels "$labels" --out "$out" "$@"
echo "It has no thresholds yet: fovea calibrate $out --data VIDEOS"
echo "To serve it: fovea serve --bundle $out"
