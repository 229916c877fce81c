"""Mutated videos over HTTP: how they are answered, and whether service, children and memory stay as they were.

Clips of several containers and codecs are made, then spoilt: bits flipped, pieces cut out or doubled, numbers in boxes
overwritten, files spliced. Mutant n of a seed is always the same one, `--only n` sends it alone, and `--keep`
writes those that met what should not be. The service is a process of its own. Not part of `make bench`.

    python -m benchmarks.mutations [--mutants 5000] [--seed 1] [--clients 4]
"""

import argparse
import asyncio
import json
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.throughput import http_service
from tests.clips import frozen, noise, write_clip

HANG_S = 90.0  # without an answer: three times what decoding may take
WARMING_ROUNDS = 8

SOURCES: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264_turned.mov": {"rotate_deg": 90},
    "h264_fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "h264.mkv": {},
    "h264.ts": {},
    "h264.flv": {},
    "hevc.mp4": {"codec": "libx265", "options": dict(frozen(x265_params="log-level=none:bframes=2"))},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg2.ts": {"codec": "mpeg2video"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "wmv2.asf": {"codec": "wmv2"},
    "flv1.flv": {"codec": "flv"},
    "h263.3gp": {"codec": "h263", "size": (176, 144)},
}
BOXES = (
    b"moov mvhd tkhd mdhd stsd stts ctts stsc stsz stco stss elst avcC hvcC moof traf tfhd trun mdat "
    b"avih strh strf idx1 movi"
).split()
ODD = (0, 1, 2, 0x7F, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def make_sources(folder: Path) -> dict[str, bytes]:
    usual = {"seconds": 1.0, "fps": 15, "size": (160, 128), "gop": 5, "pattern": noise}
    return {name: write_clip(folder / name, **usual | how).read_bytes() for name, how in SOURCES.items()}


def flip_bits(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    for _number in range(rng.choice((1, 3, 10, 50))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def cut(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    """The end, or a piece of the middle."""
    first = rng.randrange(len(data))
    last = len(data) if rng.random() < 0.5 else min(len(data), first + rng.choice((1, 4, 100, 1000)))
    del data[first:last]


def edit_box(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    """A number in a box or list header becomes an odd one; where there is none, any four bytes."""
    places = [found.start() for name in BOXES for found in re.finditer(re.escape(name), data)]
    near = rng.choice(places) if places else rng.randrange(len(data))
    place = max(0, min(len(data) - 4, near + rng.choice((-4, 4, 8, 12, 16, 20, 24, 28, 32))))
    data[place : place + 4] = rng.choice(ODD).to_bytes(4, rng.choice(("big", "little")))


def splice(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """A piece of this or another file, put in or over what is there, or a whole one behind."""
    other = rng.choice([bytes(data), *others])
    if rng.random() < 0.2:
        data += other
        return
    first, place = rng.randrange(len(other)), rng.randrange(len(data))
    piece = other[first : first + rng.choice((16, 500, 5000))]
    data[place : place + (len(piece) if rng.random() < 0.5 else 0)] = piece


def blank(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    first = rng.randrange(len(data))
    length = min(len(data) - first, rng.choice((8, 64, 1000, 10_000)))
    data[first : first + length] = bytes([rng.choice((0, 0xFF))]) * length


MUTATIONS: tuple[Callable[[bytearray, random.Random, Sequence[bytes]], None], ...] = (
    flip_bits, cut, edit_box, edit_box, splice, blank,
)  # fmt: skip


def mutant(sources: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """(what it was made of and how, its bytes)."""
    rng = random.Random(f"{seed}-{number}")
    name = rng.choice(list(sources))
    data, done = bytearray(sources[name]), [name]
    for _ in range(rng.choice((1, 1, 2, 3))):
        mutation = rng.choice(MUTATIONS)
        if len(data) > 8:
            mutation(data, rng, list(sources.values()))
            done.append(mutation.__name__)
    return " ".join(done), bytes(data) or b"\0"


def memory_mb(service: psutil.Process) -> dict[str, float]:
    """PSS: what is shared counts once."""
    return {
        "service": service.memory_full_info().pss / 2**20,
        **{f"child {n}": child.memory_full_info().pss / 2**20 for n, child in enumerate(service.children())},
    }


async def warm_up(http: httpx.AsyncClient, sources: dict[str, bytes]) -> list[str]:
    """Every codec in every child, and full batches; tells of sources that are refused as they are."""
    refused: dict[str, str] = {}

    async def one(name: str) -> None:
        answer = await http.post("/v1/recognitions", content=sources[name], headers={"Content-Type": "video/mp4"})
        if not answer.is_success:
            refused[name] = answer.text

    for _ in range(WARMING_ROUNDS):
        await asyncio.gather(*(one(name) for name in sources))
    return [f"{name}: {text}" for name, text in refused.items()]


async def run(numbers: Sequence[int], seed: int, num_clients: int, keep: Path | None) -> dict[str, Any]:
    outcomes: Counter[str] = Counter()
    odd: list[str] = []
    slowest_s, left = 0.0, list(numbers)[::-1]
    with tempfile.TemporaryDirectory() as folder:
        sources, log = make_sources(Path(folder)), Path(folder) / "service.log"

        async def client(http: httpx.AsyncClient) -> None:
            nonlocal slowest_s
            while left:
                number = left.pop()
                made_of, body = mutant(sources, seed, number)
                started_s = time.monotonic()
                try:
                    answer = await http.post("/v1/recognitions", content=body, headers={"Content-Type": "video/mp4"})
                except httpx.HTTPError as error:
                    told = f"no answer: {type(error).__name__}"
                else:
                    told = f"{answer.status_code} {answer.json().get('type', 'answered')}"
                outcomes[told] += 1
                slowest_s = max(slowest_s, time.monotonic() - started_s)
                if not told.startswith(("200", "422", "400")) or "crashed" in told or "timeout" in told:
                    odd.append(f"{number}: {told} ({made_of})")
                    if keep is not None:
                        (keep / f"{seed}-{number}").write_bytes(body)

        async with http_service(num_clients, keep_log=log) as (http, service):
            http.timeout = httpx.Timeout(HANG_S)
            refused = await warm_up(http, sources)
            before, started_s = memory_mb(service), time.monotonic()
            await asyncio.gather(*(client(http) for _ in range(num_clients)))
            took_s = time.monotonic() - started_s
            is_alive = service.is_running() and service.status() != psutil.STATUS_ZOMBIE
            after = memory_mb(service) if is_alive else {}
        said = log.read_text()
    return {
        "mutants": len(numbers),
        "seed": seed,
        "took_s": took_s,
        "slowest_s": slowest_s,
        "outcomes": dict(outcomes.most_common()),
        "odd": odd,
        "sources_refused": refused,
        "service_deaths": int(not is_alive),
        "hangs": sum(count for told, count in outcomes.items() if told == "no answer: ReadTimeout"),
        "children_died_at_work": said.count("died on a video"),
        "exceptions_a_child_outlived": said.count("a video could not be decoded"),
        "memory_mb_before": before,
        "memory_mb_after": after,
    }


def print_card(result: dict[str, Any]) -> None:
    how_many = f"{result['mutants']} mutants of seed {result['seed']}"
    print(f"{how_many} in {result['took_s']:.0f} s, slowest {result['slowest_s']:.1f} s")
    for told, count in result["outcomes"].items():
        print(f"  {count:6}  {told}")
    for name in ("service_deaths", "hangs", "children_died_at_work", "exceptions_a_child_outlived"):
        print(f"  {name.replace('_', ' ')}: {result[name]}")
    for name in ("memory_mb_before", "memory_mb_after"):
        told = ", ".join(f"{who} {size:.0f}" for who, size in result[name].items())
        print(f"  {name.replace('_', ' ')} (PSS): {told}")
    for line in (*result["sources_refused"], *result["odd"]):
        print(f"  {line}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutations", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--mutants", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=4, help="requests at once")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of mutants, in place of all")
    parser.add_argument("--keep", type=Path, help="folder for mutants that were answered as none should be")
    arguments = parser.parse_args()
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    numbers = arguments.only or range(arguments.mutants)
    result = asyncio.run(run(numbers, arguments.seed, arguments.clients, arguments.keep))
    print_card(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
