"""A node and a fleet in simulated time, from costs that were measured; the knee is held against the measured one first.

A node is what a replica is (`benchmarks/simulated/node.py`), with the real admission, gate, scheduler and budgets.
Videos arrive at random or from clients that never pause. A fleet is nodes at a share of their knee, and what they
share: Redis and the network.

    python -m benchmarks.node_costs --json costs.json   # measures this machine: a minute
    python -m benchmarks.simulate --costs costs.json    # knee, overload, fleets
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.levels import HEADING
from benchmarks.simulated.costs import Costs
from benchmarks.simulated.fleet import Shared, fleet_of_cameras, fleet_of_posts, print_fleet
from benchmarks.simulated.load import shipped_offer, simulated_knee, simulated_level

POSTS_PER_S = (10.0, 1_000.0, 100_000.0)
CAMERAS = (200, 10_000, 1_000_000)


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
        print(f"{name}\n{HEADING}", flush=True)
        found[name] = []
        for one in times:
            level = simulated_level(costs, offer, one, knee, seconds=seconds, gives_way=gives_way)
            found[name].append(asdict(level))
            print(level, flush=True)
    fleets = [
        *(fleet_of_posts(per_s, costs, offer, shared, keyed=keyed) for keyed in (False, True) for per_s in POSTS_PER_S),
        *(fleet_of_cameras(num, shared) for num in CAMERAS),
    ]
    for fleet in fleets:
        print_fleet(fleet)
    return found | {"fleets": [asdict(fleet) for fleet in fleets]}


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
