"""What a video costs a node, in CPU seconds by role, and the node's knee: what `benchmarks.simulate` starts from.

One small clip alone, at the least and at the full budget: the difference is the device's. Then clients that never
pause, and how much of the machine's cores the service and they got meanwhile: on a machine that others use, too, both
the costs and the knee are of that share.
"""

import argparse
import asyncio
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import psutil

from benchmarks.overload import Asker, closed_loop, cpu_seconds
from benchmarks.simulate import Costs
from benchmarks.throughput import http_service
from tests.clips import noise, write_clip


async def measured_costs(num: int, seconds: float) -> Costs:
    """Of this machine: a clip alone at two budgets, refusals, then clients that never pause."""
    with tempfile.TemporaryDirectory() as folder:
        clip = write_clip(Path(folder) / "clip.mp4", seconds=2, fps=15, size=(214, 160), pattern=noise)
        video = clip.read_bytes()
    async with http_service(8) as (client, process):
        asker = Asker(str(client.base_url), video)
        model = (await client.get("/v1/models")).json()["models"][0]
        least, full = model["least_gflops"], model["full_gflops"]
        firm = f"?min_budget_gflops={model['default_budget_gflops']}"
        await closed_loop(asker, 4, 5.0, firm)  # warm

        async def alone(gflops: float) -> tuple[float, float]:
            """CPU seconds of the service, and of its decoders, for one video."""
            before = _cpu_by_role(process)
            for _ in range(num):
                await asker.ask(f"?budget_gflops={gflops}&min_budget_gflops={gflops}")
            after = _cpu_by_role(process)
            return (after[0] - before[0]) / num, (after[1] - before[1]) / num

        glance_s, decode_s = await alone(least)
        print(f"alone, a glance: service {glance_s:.4f} s, decoding {decode_s:.4f} s", flush=True)
        whole_s, decode_too_s = await alone(full)
        print(f"alone, all steps: service {whole_s:.4f} s, decoding {decode_too_s:.4f} s", flush=True)
        s_per_gflop = max(0.0, whole_s - glance_s) / (full - least)
        own, cpu, began_s = psutil.Process().cpu_times(), cpu_seconds(process), asyncio.get_running_loop().time()
        knee = await closed_loop(asker, 8, seconds, firm)
        took_s = asyncio.get_running_loop().time() - began_s
        service_cpu_s = cpu_seconds(process) - cpu
        mine = psutil.Process().cpu_times()
        client_cpu_s = mine.user + mine.system - own.user - own.system
    return Costs(
        http_s=max(0.0, glance_s - least * s_per_gflop),
        decode_s=(decode_s + decode_too_s) / 2,
        s_per_gflop=s_per_gflop,
        client_s=client_cpu_s / max(1.0, knee * took_s),
        upload_bytes=len(video),
        cores=(service_cpu_s + client_cpu_s) / took_s,
        threads=os.cpu_count() or 1,
        knee_per_s=knee,
    )


def _cpu_by_role(process: psutil.Process) -> tuple[float, float]:
    times, children = process.cpu_times(), [child.cpu_times() for child in process.children()]
    return times.user + times.system, sum(one.user + one.system for one in children)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.node_costs", description=__doc__)
    parser.add_argument("--videos", type=int, default=40, help="alone, at each of two budgets")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the clients that never pause")
    parser.add_argument("--json", type=Path, help="write the costs to this file")
    given = parser.parse_args()
    costs = asdict(asyncio.run(measured_costs(given.videos, given.seconds)))
    for name, value in costs.items():
        print(f"{name:>14}  {value:.4g}")
    if given.json is not None:
        given.json.write_text(json.dumps(costs, indent=2) + "\n")


if __name__ == "__main__":
    main()
