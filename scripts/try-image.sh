#!/bin/sh
# Builds the CPU image with buildah and without a container engine, starts it as its user on a read-only root, and posts a
# video to it: try-image.sh FOLDER (of several GB, for layers; what it holds is made anew). Root, debootstrap and buildah are
# needed. The base is bootstrapped from Debian's archive, not pulled: BASE in the Dockerfile is replaced.
# TORCH_INDEX_URL is passed on; MOUNTS adds mounts while it builds (-v HOST:IMAGE:ro), for a machine with its own CA or index.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=${1:?a folder to work in}
mkdir -p "$work"
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$work/layers" --runroot "$work/run" "$@"; }
say() { printf '%s\n' "$*" >&2; }

if [ ! -d "$work/rootfs" ]; then
    say "Bootstrapping Debian bookworm ..."
    debootstrap --variant=minbase --include=ca-certificates bookworm "$work/rootfs" >"$work/debootstrap.log"
    chroot "$work/rootfs" apt-get clean
    rm -rf "$work"/rootfs/var/lib/apt/lists/* "$work"/rootfs/usr/share/doc "$work"/rootfs/usr/share/man "$work"/rootfs/usr/share/locale
fi
base=$(buildah from scratch)
buildah add --quiet "$base" "$work/rootfs" / >/dev/null
buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$base"
buildah commit --quiet "$base" fovea-base >/dev/null
buildah rm "$base" >/dev/null

say "Building ..."
began=$(date +%s)
# shellcheck disable=SC2086  # several mounts are several words
buildah bud --pull-never --format docker --network host ${MOUNTS:-} --target cpu \
    --build-arg BASE=localhost/fovea-base --build-arg TORCH_INDEX_URL="${TORCH_INDEX_URL:-}" \
    --file "$root/docker/Dockerfile" --tag fovea "$root" >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log" >&2; exit 1; }
say "built in $(($(date +%s) - began)) s"

container=$(buildah from --pull-never localhost/fovea)
mount=$(buildah mount "$container")
say "size: $(du -sm "$mount" | cut -f 1) MB, of which the base $(du -sm "$work/rootfs" | cut -f 1)"
if find "$mount"/opt/fovea/lib/python3*/site-packages -maxdepth 1 \( -name torch -o -name pip -o -name setuptools \) | grep .; then
    say "the image holds what it should not"
    exit 1
fi

port=${PORT:-8917}
log=$work/serve.log
setsid buildah --root "$work/layers" --runroot "$work/run" run --user 10001 --network host \
    --env FOVEA_HOST=127.0.0.1 --env FOVEA_PORT="$port" "$container" -- fovea serve >"$log" 2>&1 &
served=$! # a group of its own: what runs in the container ends with it
trap 'kill -- -$served 2>/dev/null || true; wait $served 2>/dev/null || true; buildah rm "$container" >/dev/null 2>&1 || true' EXIT
began=$(date +%s%N)
until python3 -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/readyz', timeout=2)" 2>/dev/null; do
    if [ $(($(date +%s%N) - began)) -gt 120000000000 ]; then tail -n 20 "$log" >&2; exit 1; fi
    sleep 0.1
done
say "ready after $((($(date +%s%N) - began) / 1000000)) ms"

buildah run --user 10001 --network host "$container" -- python3 -c '
import av, numpy, urllib.request
with av.open("/tmp/clip.mp4", "w") as out:
    stream = out.add_stream("libx264", rate=25)
    stream.width, stream.height = 320, 240
    for place in range(75):
        picture = numpy.zeros((240, 320, 3), numpy.uint8)
        picture[80:160, 3 * place : 3 * place + 60] = 255
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
    out.mux(stream.encode(None))
body = open("/tmp/clip.mp4", "rb").read()
request = urllib.request.Request("http://127.0.0.1:'"$port"'/v1/recognitions", body, {"Content-Type": "video/mp4"})
print(urllib.request.urlopen(request, timeout=60).read().decode())
' || { tail -n 20 "$log" >&2; exit 1; }
