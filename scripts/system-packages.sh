#!/bin/sh
# Installs what is missing of system-packages.txt where root or sudo allows it; otherwise says which are missing
# and goes on: the tests that need them skip (and fail under FOVEA_STRICT_TESTS=1).
set -eu
cd "$(dirname "$0")"

is_there() { # program package
    if [ "$1" = - ]; then
        dpkg-query --show --showformat='${Status}' "$2" 2>/dev/null | grep -q 'ok installed'
    else
        command -v "$1" >/dev/null
    fi
}

missing_programs() {
    grep -v '^#' system-packages.txt | while read -r program package purpose; do
        is_there "$program" "$package" || printf '%s %s %s\n' "$program" "$package" "$purpose"
    done
}

missing=$(missing_programs)
[ -n "$missing" ] || exit 0
packages=$(printf '%s\n' "$missing" | cut -d ' ' -f 2 | sort -u | tr '\n' ' ')

as_root=none
if [ "$(id -u)" = 0 ]; then
    as_root=''
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root='sudo'
fi

if [ "$as_root" != none ] && command -v apt-get >/dev/null; then
    echo "Installing system packages for the tests: $packages" >&2
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" # dpkg needs ldconfig and friends
    log=$(mktemp)
    # Not quoted on purpose: as_root may be empty, packages are several words.
    if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
    fi
    rm -f "$log"
    missing=$(missing_programs)
    [ -n "$missing" ] || exit 0
fi

echo "Missing, so the tests that need it cannot run:" >&2
printf '%s\n' "$missing" | while read -r program package purpose; do
    [ "$program" != - ] || program=$package
    printf '    %s (%s): apt-get install %s\n' "$program" "$purpose" "$package" >&2
done
