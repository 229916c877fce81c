"""A node and a fleet in simulated time, from costs that were measured; the knee is held against the measured one first.

A node is what a replica is: an event loop, decoding processes and one device thread that share cores (processor
sharing), and the real admission and budgets (`service.engine`). Videos arrive at random or from clients that never
pause. A fleet is nodes at a share of their knee, and what they share: Redis and the network. Needs SimPy (the `dev`
extra).

    python -m benchmarks.node_costs --json costs.json   # measures this machine: minutes
    python -m benchmarks.simulate --costs costs.json    # knee, overload, fleets
"""

import argparse
import functools
import json
import math
import random
import statistics
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import simpy

from fovea.errors import Overloaded
from models import available_models
from models.bundle import Bundle
from service.engine.admission import Admission, Ticket
from service.engine.budget import Offer, RecognitionOptions, plan
from service.engine.lanes import ANYBODY
from service.engine.request import Plan
from video.clip import ClipRule
from video.rate import Rate

MODEL = "adafocus-v3-compact"
MAX_BATCH = 32
POSTS_PER_S = (10.0, 1_000.0, 100_000.0)
CAMERAS = (200, 10_000, 1_000_000)
Events = Generator[simpy.Event, Any, Any]


@dataclass(frozen=True)
class Costs:
    """CPU seconds of one core for one small clip (2 s, 214 x 160), unless said otherwise.

    The defaults are decision 0005's, of two cores that were left alone: 20 ms of the service, 15 of decoding, 2 of the
    client, and 50 videos a second. How the 20 ms divide between event loop and device is an estimate.
    """

    http_s: float = 0.004  # of an answer, on the event loop
    refusal_s: float = 0.0008  # of a refusal, there
    decode_s: float = 0.015
    s_per_gflop: float = 0.014  # of the device
    client_s: float = 0.002  # of a client on the same machine; 0: clients are elsewhere
    upload_bytes: int = 33_000
    cores: float = 2.0  # that this service got while it was measured
    threads: int = 2  # of the device, and decoding processes
    knee_per_s: float | None = 50.0  # measured, of clients that never pause


class Cores:
    """Processor sharing: n pieces of work get min(1, cores / n) of a core each."""

    def __init__(self, env: simpy.Environment, num: float) -> None:
        self._env, self._num = env, num
        self._left: dict[simpy.Event, float] = {}
        self._noted_s, self._version = 0.0, 0
        self.busy_s = 0.0

    def work(self, cpu_s: float) -> simpy.Event:
        """Done after so many seconds of one core."""
        done = self._env.event()
        self._catch_up()
        self._left[done] = cpu_s
        self._schedule()
        return done

    def _rate(self) -> float:
        return min(1.0, self._num / len(self._left))

    def _catch_up(self) -> None:
        if self._left:
            each_s = (self._env.now - self._noted_s) * self._rate()
            self.busy_s += each_s * len(self._left)
            self._left = {done: left - each_s for done, left in self._left.items()}
        self._noted_s = self._env.now

    def _schedule(self) -> None:
        self._version += 1
        if self._left:
            self._env.process(self._ring(self._version, max(0.0, min(self._left.values()) / self._rate())))

    def _ring(self, version: int, after_s: float) -> Events:
        yield self._env.timeout(after_s)
        if version == self._version:
            self._catch_up()
            over = [done for done, left in self._left.items() if left <= 1e-9]
            for done in over:
                del self._left[done]
                done.succeed()
            self._schedule()


@dataclass(slots=True, eq=False)
class Video:
    """One on its way through the device."""

    plan: Plan
    ticket: Ticket
    num_cubes: int
    done: simpy.Event
    step: int = 0


@dataclass(frozen=True)
class Outcome:
    ended_s: float
    took_s: float
    granted_flops: int  # 0: refused


class Node:
    """One replica. `gives_way`: whether budgets fall under load."""

    def __init__(
        self, env: simpy.Environment, costs: Costs, offer: Offer, rng: random.Random, *, gives_way: bool = True
    ) -> None:
        self._env, self._costs, self._offer, self._rng, self._gives_way = env, costs, offer, rng, gives_way
        self.cores = Cores(env, costs.cores)
        self._loop = simpy.Resource(env, 1)
        self._decoders = simpy.Resource(env, costs.threads)
        self._decode_rate, self._flop_rate = Rate(), Rate()
        self.admission = Admission(
            max_places=64,
            max_requests=256,
            max_flops=500 * 10**9,
            max_costly_decode_s=120.0,
            num_decoders=costs.threads,
            decode_rate=self._decode_rate,
            flop_rate=self._flop_rate,
            max_wait_s=5.0,
            clock=lambda: env.now,
        )
        self._waiting: list[Video] = []
        self._bell = env.event()
        env.process(self._device())

    def ask(self, outcomes: list[Outcome]) -> Events:
        """One video, from its first byte to its answer."""
        began_s, costs = self._env.now, self._costs
        yield from self._on_loop(costs.refusal_s / 2)
        pressure = self.admission.pressure() if self._gives_way else 0.0
        settled = plan(RecognitionOptions(model=self._offer.name), [self._offer], self._offer, pressure=pressure)
        try:
            ticket = self.admission.admit(settled.most_flops, ANYBODY, expected_flops=settled.expected_flops)
        except Overloaded:
            yield from self._on_loop(costs.refusal_s / 2)
            outcomes.append(Outcome(self._env.now, self._env.now - began_s, 0))
            return
        with ticket:
            yield from self._on_loop(max(0.0, costs.http_s - costs.refusal_s) / 2)
            ticket.decodes()
            yield from self._decode()
            ticket.decoded()
            video = Video(settled, ticket, self._num_cubes(settled), self._env.event())
            self._waiting.append(video)
            self._ring()
            yield video.done
        yield from self._on_loop(costs.http_s / 2)
        if costs.client_s:
            yield self.cores.work(costs.client_s)
        outcomes.append(Outcome(self._env.now, self._env.now - began_s, settled.budget_granted_flops))

    def _on_loop(self, cpu_s: float) -> Events:
        with self._loop.request() as turn:
            yield turn
            yield self.cores.work(cpu_s)

    def _decode(self) -> Events:
        with self._decoders.request() as turn:
            yield turn
            began_s = self._env.now
            yield self.cores.work(self._costs.decode_s)
            self._decode_rate.observe(1, self._env.now - began_s)

    def _num_cubes(self, settled: Plan) -> int:
        """So many that the mean is what the calibration videos cost."""
        further = settled.step_flops[1:]
        share = (settled.expected_flops - settled.step_flops[0]) / sum(further) if further else 0.0
        return sum(self._rng.random() < share for _ in further)

    def _ring(self) -> None:
        if not self._bell.triggered:
            self._bell.succeed()

    def _device(self) -> Events:
        """Batches of one kind, around the one that has waited longest, on all threads at once."""
        threads = self._costs.threads
        while True:
            if not self._waiting:
                self._bell = self._env.event()
                yield self._bell
            is_glance = self._waiting[0].step == 0
            batch = [one for one in self._waiting if (one.step == 0) == is_glance][:MAX_BATCH]
            self._waiting = [one for one in self._waiting if one not in batch]
            flops = sum(one.plan.step_flops[one.step] for one in batch)
            began_s = self._env.now
            cpu_s = flops / 1e9 * self._costs.s_per_gflop / threads
            yield self._env.all_of([self.cores.work(cpu_s) for _ in range(threads)])
            self._flop_rate.observe(flops, self._env.now - began_s)
            for one in batch:
                one.ticket.spend(one.plan.step_flops[one.step])
                if one.step == one.num_cubes:
                    one.done.succeed()
                else:
                    one.step += 1
                    self._waiting.append(one)


def shipped_offer(name: str = MODEL) -> Offer:
    """What the service knows of the shipped bundle; its network is not loaded."""
    bundle = Bundle.read(available_models()[name])
    rule = ClipRule(num_frames=16, height_px=160, width_px=160, resize="stretch")
    return Offer(
        name=bundle.name,
        digest=bundle.digest,
        task=bundle.task,
        labels=bundle.labels,
        trained=bundle.trained,
        clip_rule=rule,
        step_flops=bundle.step_flops,
        default_budget_flops=bundle.default_budget_flops,
        grid=bundle.grid.points,
    )


def simulated_knee(costs: Costs, offer: Offer, *, clients: int | None = None, seconds: float = 60.0) -> float:
    """Answers a second of clients that never pause, at full budgets; the first fifth is not counted."""
    env, outcomes = simpy.Environment(), list[Outcome]()
    node = Node(env, costs, offer, random.Random(0), gives_way=False)

    def client() -> Events:
        while True:
            yield from node.ask(outcomes)

    for _ in range(clients or 4 * costs.threads):
        env.process(client())
    env.run(seconds)
    return sum(one.granted_flops > 0 and one.ended_s > seconds / 5 for one in outcomes) / (0.8 * seconds)


@dataclass(frozen=True)
class Level:
    times_knee: float
    offered_per_s: float
    goodput_per_s: float
    refused_per_s: float
    p50_s: float
    p95_s: float
    granted_gflops: float
    accuracy: float
    levels_seen: int  # budgets that were granted in the second half


def simulated_level(
    costs: Costs, offer: Offer, times: float, knee: float, *, seconds: float = 60.0, gives_way: bool = True
) -> Level:
    """Random arrivals at `times` the knee; the first quarter is not counted."""
    env, outcomes, rng = simpy.Environment(), list[Outcome](), random.Random(0)
    node, offered = Node(env, costs, offer, rng, gives_way=gives_way), times * knee

    def arrivals() -> Events:
        while True:
            yield env.timeout(rng.expovariate(offered))
            env.process(node.ask(outcomes))

    env.process(arrivals())
    env.run(seconds)
    counted = [one for one in outcomes if one.ended_s >= seconds / 4]
    good = [one for one in counted if one.granted_flops]
    took = statistics.quantiles([one.took_s for one in good], n=20)
    return Level(
        times_knee=times,
        offered_per_s=offered,
        goodput_per_s=len(good) / (0.75 * seconds),
        refused_per_s=(len(counted) - len(good)) / (0.75 * seconds),
        p50_s=took[9],
        p95_s=took[18],
        granted_gflops=statistics.fmean(one.granted_flops for one in good) / 1e9,
        accuracy=statistics.fmean(offer.point_at(one.granted_flops).solution.accuracy for one in good),
        levels_seen=len({one.granted_flops for one in good if one.ended_s > seconds / 2}),
    )


@dataclass(frozen=True)
class Shared:
    """What all nodes lean on; the Redis figures are `benchmarks.redis_load`'s."""

    commands_per_post: float = 0.0  # usage goes there once a second, whatever the rate
    commands_per_keyed_post: float = 16.4  # of a key with four limits
    commands_per_camera_s: float = 7.0  # at one result a second
    commands_per_replica_s: float = 19.0
    redis_commands_per_s: float = 14_000.0  # that one Redis does: a lower bound, of a crowded machine
    record_bytes: int = 525  # of a camera
    turns_per_s: float = 0.8  # in which each replica reads all cameras' records
    nic_gbit_s: float = 10.0  # of a load balancer, of Redis
    camera_mbit_s: float = 4.0
    camera_cores: float = 0.064  # every frame decoded; 0.019 where keyframes do (decision 0009)
    load: float = 0.7  # of its knee that a node is given
    node_cores: int = 16
    price_per_core_hour: float = 0.04


@dataclass(frozen=True)
class Fleet:
    asked: str
    nodes: int
    cores: int
    ingress_gbit_s: float
    redis_busy: float  # of one Redis; 1 is all there is
    redis_egress_gbit_s: float
    breaks_first: str
    price_per_hour: float


@functools.cache
def node_knee(costs: Costs, model: str, cores: int) -> float:
    """Of a node of so many cores, its clients elsewhere."""
    node = replace(costs, cores=float(cores), threads=cores, client_s=0.0)
    return simulated_knee(node, shipped_offer(model), seconds=10.0)


def fleet_of_posts(per_s: float, costs: Costs, offer: Offer, shared: Shared, *, keyed: bool) -> Fleet:
    knee = node_knee(costs, offer.name, shared.node_cores)
    nodes = max(1, math.ceil(per_s / (shared.load * knee)))
    per_post = shared.commands_per_keyed_post if keyed else shared.commands_per_post
    redis_busy = (per_s * per_post + nodes * shared.commands_per_replica_s) / shared.redis_commands_per_s
    ingress = per_s * costs.upload_bytes * 8 / 1e9
    bounds = {
        "one node's cores": per_s / (shared.load * knee),
        "one load balancer's network": ingress / shared.nic_gbit_s,
        "one Redis": redis_busy,
    }
    asked = f"{per_s:,.0f} posts/s{', keys with limits' if keyed else ''}"
    return _fleet(asked, nodes, ingress, redis_busy, 0.0, bounds, shared)


def fleet_of_cameras(num: int, shared: Shared) -> Fleet:
    nodes = max(1, math.ceil(num * shared.camera_cores / (shared.load * shared.node_cores)))
    commands = num * shared.commands_per_camera_s + nodes * shared.commands_per_replica_s
    redis_busy = commands / shared.redis_commands_per_s
    egress = nodes * num * shared.record_bytes * shared.turns_per_s * 8 / 1e9
    ingress = num * shared.camera_mbit_s / 1e3
    bounds = {
        "one node's cores": num * shared.camera_cores / (shared.load * shared.node_cores),
        "one Redis": redis_busy,
        "one Redis's network: every replica reads every camera's record": egress / shared.nic_gbit_s,
    }
    return _fleet(f"{num:,} cameras", nodes, ingress, redis_busy, egress, bounds, shared)


def _fleet(
    asked: str, nodes: int, ingress: float, busy: float, egress: float, bounds: dict[str, float], shared: Shared
) -> Fleet:
    cores = nodes * shared.node_cores
    fullest = sorted((share, name) for name, share in bounds.items() if share > 1 and name != "one node's cores")
    first = fullest[-1][1] if fullest else ("one node's cores" if bounds["one node's cores"] > 1 else "nothing")
    return Fleet(asked, nodes, cores, ingress, busy, egress, first, cores * shared.price_per_core_hour)


def report(costs: Costs, shared: Shared, times: Sequence[float], seconds: float) -> dict[str, Any]:
    """Told as it is found: the later parts take a while."""
    offer = shipped_offer()
    knee = simulated_knee(costs, offer, seconds=seconds)
    measured = costs.knee_per_s
    against = "" if measured is None else f"; measured {measured:.2f}, {knee / measured - 1:+.0%}"
    print(f"knee, simulated: {knee:.2f} videos/s{against}", flush=True)
    found: dict[str, Any] = {
        "costs": asdict(costs),
        "shared": asdict(shared),
        "knee_per_s": {"measured": measured, "simulated": knee},
    }
    for gives_way, name in ((True, "overload"), (False, "overload, budgets firm")):
        print(f"{name}: times, offered, goodput, refused, p50 s, p95 s, granted GFLOPs, accuracy", flush=True)
        found[name] = []
        for one in times:
            level = simulated_level(costs, offer, one, knee, seconds=seconds, gives_way=gives_way)
            found[name].append(asdict(level))
            print_level(level)
    fleets = [
        *(fleet_of_posts(per_s, costs, offer, shared, keyed=keyed) for keyed in (False, True) for per_s in POSTS_PER_S),
        *(fleet_of_cameras(num, shared) for num in CAMERAS),
    ]
    for fleet in fleets:
        print_fleet(fleet)
    return found | {"fleets": [asdict(fleet) for fleet in fleets]}


def print_level(one: Level) -> None:
    print(
        f"  {one.times_knee:4.1f} {one.offered_per_s:8.1f} {one.goodput_per_s:8.1f} {one.refused_per_s:8.1f} "
        f"{one.p50_s:6.2f} {one.p95_s:6.2f} {one.granted_gflops:7.3f} {one.accuracy:6.3f}",
        flush=True,
    )


def print_fleet(one: Fleet) -> None:
    print(
        f"{one.asked}: {one.nodes} nodes, {one.cores} cores, {one.price_per_hour:.2f} an hour; in "
        f"{one.ingress_gbit_s:.3g} Gbit/s, Redis {one.redis_busy:.3g} of one and out {one.redis_egress_gbit_s:.3g} "
        f"Gbit/s; breaks first: {one.breaks_first}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--costs", type=Path, help="measured by benchmarks.node_costs; absent: those of docs/SCALING.md"
    )
    parser.add_argument("--times", type=float, nargs="+", default=(1.0, 2.0, 3.0, 5.0), help="of the knee")
    parser.add_argument("--seconds", type=float, default=60.0, help="of simulated time, of each level")
    parser.add_argument("--node-cores", type=int, default=Shared.node_cores)
    parser.add_argument("--price", type=float, default=Shared.price_per_core_hour, help="of a core for an hour")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    costs = Costs() if given.costs is None else Costs(**json.loads(given.costs.read_text()))
    shared = replace(Shared(), node_cores=given.node_cores, price_per_core_hour=given.price)
    found = report(costs, shared, given.times, given.seconds)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
