"""The simulated node does the arithmetic that a node does: cores are shared, nothing is lost, budgets give way."""

import asyncio
from dataclasses import replace

import pytest

from benchmarks.simulated.clock import run
from benchmarks.simulated.cores import Cores
from benchmarks.simulated.costs import Costs
from benchmarks.simulated.fleet import Shared, fleet_of_cameras
from benchmarks.simulated.load import shipped_offer, simulated_knee, simulated_level
from benchmarks.throughput import service_environment

pytestmark = pytest.mark.slow
COSTS = Costs(
    http_s=0.02,
    refusal_s=0.001,
    decode_s=0.2,
    further_decode_s=0.0,
    glance_s_per_gflop=0.1,
    cube_s_per_gflop=0.1,
    client_s=0.0,
    cores=2.0,
    threads=2,
)


def test_pieces_of_work_share_the_cores_and_none_gets_more_than_one() -> None:
    cores, ended = Cores(2), dict[str, float]()

    async def piece(name: str, cpu_s: float) -> None:
        await cores.work(cpu_s)
        ended[name] = asyncio.get_running_loop().time()

    async def all_of_them() -> None:
        await asyncio.gather(piece("short", 1.0), piece("long", 3.0), piece("longest", 5.0))

    run(all_of_them())
    assert ended == pytest.approx({"short": 1.5, "long": 3.5, "longest": 5.5})
    assert cores.busy_s == pytest.approx(9.0)


def test_who_waits_for_what_never_comes_is_told() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing will happen any more"):
        run(waits())


def test_the_knee_is_the_cores_over_what_a_video_costs_where_nothing_else_is_short() -> None:
    offer = shipped_offer()
    mean_gflops = offer.point_at(offer.default_budget_flops).solution.mean_cost_flops / 1e9
    a_video_s = COSTS.http_s + COSTS.decode_s + mean_gflops * COSTS.glance_s_per_gflop
    assert simulated_knee(COSTS, offer, seconds=40.0) == pytest.approx(2.0 / a_video_s, rel=0.1)
    busy_loop = replace(COSTS, http_s=1.0, decode_s=0.01, glance_s_per_gflop=0.01, cube_s_per_gflop=0.01)
    assert simulated_knee(busy_loop, offer, seconds=40.0) == pytest.approx(1.0, rel=0.1), "one event loop, two cores"


def test_at_five_times_the_knee_budgets_have_given_way_and_as_much_is_answered_as_ever() -> None:
    offer = shipped_offer()
    knee = simulated_knee(COSTS, offer, seconds=30.0)
    level = simulated_level(COSTS, offer, 5.0, knee, seconds=60.0)
    assert level.goodput_per_s >= 0.9 * knee
    assert level.refused_per_s > 0
    assert level.granted_gflops == pytest.approx(offer.least_flops / 1e9, rel=0.05)
    firm = simulated_level(COSTS, offer, 5.0, knee, seconds=60.0, gives_way=False)
    assert firm.goodput_per_s < level.goodput_per_s


def test_a_fleet_grows_with_what_is_asked_and_says_what_gives_out_first() -> None:
    few, many = fleet_of_cameras(200, Shared()), fleet_of_cameras(1_000_000, Shared())
    assert few.nodes < many.nodes
    assert few.breaks_first == "one node's cores"
    assert "reads every camera's record" in many.breaks_first


def test_in_a_measured_service_budgets_give_way_unless_its_benchmark_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FOVEA_DEGRADE", raising=False)
    assert "FOVEA_DEGRADE" not in service_environment("state", {})
    assert service_environment("state", {"FOVEA_DEGRADE": "false"})["FOVEA_DEGRADE"] == "false"


def test_a_level_at_which_nothing_was_answered_says_so() -> None:
    level = simulated_level(COSTS, shipped_offer(), 1.0, 1e-6, seconds=1.0)
    assert level.goodput_per_s == 0
    assert str(level).endswith("nothing was answered")
