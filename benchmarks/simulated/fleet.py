"""What fleets of nodes need, and what of what they share gives out first: arithmetic over a node's simulated knee."""

import functools
import math
from dataclasses import dataclass, replace

from benchmarks.simulated.costs import Costs
from benchmarks.simulated.load import shipped_offer, simulated_knee
from service.engine.budget import Offer


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
    node = replace(costs, cores=float(cores), threads=cores, client_s=0.0, knee_steps=None)
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


def print_fleet(one: Fleet) -> None:
    print(
        f"{one.asked}: {one.nodes} nodes, {one.cores} cores, {one.price_per_hour:.2f} an hour; in "
        f"{one.ingress_gbit_s:.3g} Gbit/s, Redis {one.redis_busy:.3g} of one and out {one.redis_egress_gbit_s:.3g} "
        f"Gbit/s; breaks first: {one.breaks_first}",
        flush=True,
    )
