"""What a video costs a node, in CPU seconds by role, and the node's knee: what `benchmarks.simulate` starts from.

One clip alone, at the least and at the full budget: what the event loop, the decoders and the device's threads take of
it. Refusals of a service whose only place is taken. Then clients that never pause, and how much of the machine's cores
was left to the service and to them: what others took meanwhile is not theirs. Takes about a minute.
"""

import argparse
import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.asker import Asker, add_clip_options, clip_of, closed_loop
from benchmarks.simulated.costs import Costs
from benchmarks.throughput import http_service

CLIENTS = 8


@dataclass(frozen=True)
class Spent:
    """CPU seconds so far, or of a stretch of time."""

    loop_s: float  # the service's first thread: HTTP, admission
    device_s: float  # its others
    decode_s: float
    client_s: float  # ours
    others_s: float  # of processes that are none of these

    @classmethod
    def now(cls, process: psutil.Process) -> "Spent":
        service, mine = process.cpu_times(), psutil.Process().cpu_times()
        (loop_s,) = (one.user_time + one.system_time for one in process.threads() if one.id == process.pid)
        decode_s = service.children_user + service.children_system
        decode_s += sum(one.user + one.system for one in (child.cpu_times() for child in process.children()))
        client_s, service_s = mine.user + mine.system, service.user + service.system
        everybody = psutil.cpu_times()
        all_s = everybody.user + everybody.nice + everybody.system + everybody.irq + everybody.softirq
        others_s = all_s - decode_s - client_s - service_s
        return cls(loop_s, service_s - loop_s, decode_s, client_s, others_s)

    def since(self, before: "Spent") -> "Spent":
        return Spent(*(now - then for now, then in zip(self._values(), before._values(), strict=True)))

    def each(self, num: float) -> "Spent":
        return Spent(*(value / num for value in self._values()))

    def _values(self) -> tuple[float, ...]:
        return self.loop_s, self.device_s, self.decode_s, self.client_s, self.others_s

    def __str__(self) -> str:
        return f"event loop {self.loop_s:.4f} s, device {self.device_s:.4f} s, decoding {self.decode_s:.4f} s"


async def alone(asker: Asker, process: psutil.Process, num: int, gflops: float) -> Spent:
    """One video after the other at a budget that nothing lowers: what each takes."""
    before = Spent.now(process)
    for _ in range(num):
        answer = await asker.ask(f"?budget_gflops={gflops}&min_budget_gflops={gflops}")
        assert answer.status == httpx.codes.OK, f"HTTP {answer.status}"
    return Spent.now(process).since(before).each(num)


async def measured_costs(video: bytes, num: int, seconds: float) -> Costs:
    """Of this machine. `num` videos alone at each of two budgets, `seconds` of clients that never pause."""
    refusal_s = await measured_refusal_s(video, 10 * num)
    print(f"a refusal: event loop {refusal_s:.5f} s", flush=True)
    async with http_service(CLIENTS) as (client, process):
        asker = Asker(str(client.base_url), video)
        name = (await client.get("/v1/models")).json()["models"][0]["name"]
        model = (await client.get(f"/v1/models/{name}")).json()
        least, full, num_steps = model["least_gflops"], model["full_gflops"], len(model["step_gflops"])
        firm = f"?min_budget_gflops={model['default_budget_gflops']}"
        await closed_loop(asker, CLIENTS, 5.0, firm)  # warm: rates, and the networks for batches of each size
        for gflops in (least, full):
            await alone(asker, process, 10, gflops)
        glance = await alone(asker, process, num, least)
        print(f"alone, a glance: {glance}", flush=True)
        whole = await alone(asker, process, num, full)
        print(f"alone, all {num_steps} steps: {whole}", flush=True)
        num_taken = (await asker.ask(firm)).steps
        before, began_s = Spent.now(process), time.perf_counter()
        knee = await closed_loop(asker, CLIENTS, seconds, firm)
        took_s = time.perf_counter() - began_s
        crowded = Spent.now(process).since(before)
        print(f"beside {CLIENTS - 1} others, the default budget: {crowded.each(knee * took_s)}", flush=True)
    return Costs(
        http_s=(glance.loop_s + whole.loop_s) / 2,
        refusal_s=refusal_s,
        decode_s=glance.decode_s,
        further_decode_s=max(0.0, whole.decode_s - glance.decode_s),
        glance_s_per_gflop=glance.device_s / least,
        cube_s_per_gflop=max(0.0, whole.device_s - glance.device_s) / (full - least),
        client_s=crowded.client_s / max(1.0, knee * took_s),
        upload_bytes=len(video),
        cores=(os.cpu_count() or 1) - crowded.others_s / took_s,
        threads=os.cpu_count() or 1,
        knee_per_s=knee,
        knee_steps=num_taken,
    )


async def measured_refusal_s(video: bytes, num: int) -> float:
    """CPU seconds of the event loop for a refusal: the only place is held by an upload that does not go on."""
    async with http_service(1, FOVEA_MAX_DECODE_PLACES="1") as (client, process):
        asker = Asker(str(client.base_url), video)
        held = await asker.begin()
        while (await asker.ask()).status != httpx.codes.TOO_MANY_REQUESTS:
            await asyncio.sleep(0.1)
        before = Spent.now(process)
        for _ in range(num):
            answer = await asker.ask()
            assert answer.status == httpx.codes.TOO_MANY_REQUESTS, f"HTTP {answer.status}"
        refusal_s = Spent.now(process).since(before).loop_s / num
        held.close()
    return refusal_s


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.node_costs", description=__doc__)
    parser.add_argument("--videos", type=int, default=100, help="alone, at each of two budgets")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the clients that never pause")
    add_clip_options(parser, seconds=2.0, fps=15, size=(214, 160))
    parser.add_argument("--json", type=Path, help="write the costs to this file")
    given = parser.parse_args()
    costs = asdict(asyncio.run(measured_costs(clip_of(given), given.videos, given.seconds)))
    for name, value in costs.items():
        print(f"{name:>14}  {value:.4g}")
    if given.json is not None:
        given.json.write_text(json.dumps(costs, indent=2) + "\n")


if __name__ == "__main__":
    main()
