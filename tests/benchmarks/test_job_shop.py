"""Job-shop instances of the literature, as orders through the whole factory, by several dispatching rules at once.

What is printed: the makespans reached, by the devices' own record, beside the optimum and what plain rules reach in a
simulation without any delay. The factory's contain every delay between a report and the next start; its median is
printed too.
"""

import json
import statistics
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.benchmarks.conftest import Report
from tests.benchmarks.job_shop import production
from tests.benchmarks.job_shop.instances import Instance, load_instances
from tests.benchmarks.job_shop.rules import FIFO, MWR, PRIORITY, RULES, SPT, Schedule, simulate
from tests.e2e.shop import Shop, open_shop

pytestmark = pytest.mark.timeout(900)

SITES = {"by-priority": PRIORITY, "by-work": MWR, "by-time": SPT}
"""Each site with the rule that it has chosen."""
SECONDS = 18.0
"""What an optimal schedule would take on the devices."""
SIMULATED = (FIFO, SPT, MWR, PRIORITY)
SHORT = {FIFO: "FIFO", SPT: "SPT", MWR: "MWR", PRIORITY: "priority"}
WIDTH = 12


@pytest.fixture
def shop(tmp_path: Path, backends: dict[str, str], backend_settings: dict[str, str]) -> Iterator[Shop]:
    own = {"OTEL_TRACES_EXPORTER": "none", "FACTORY_SITE_POLICIES": json.dumps(production.policies(SITES))}
    opened = open_shop(tmp_path / "factory", backends, f"t{uuid.uuid4().hex[:10]}", {**backend_settings, **own})
    yield opened
    opened.factory.stop()


def row(instance: Instance, reached: Mapping[str, Schedule], scale: float) -> str:
    def cell(schedule: Schedule) -> str:
        return f"{schedule.makespan:.0f} ({schedule.makespan / instance.optimum - 1:+.0%})".rjust(WIDTH)

    cells = [cell(simulate(instance, RULES[rule])) for rule in SIMULATED] + [cell(reached[site]) for site in SITES]
    delay = statistics.median(delay for schedule in reached.values() for delay in schedule.delays) * scale
    return f"{instance.name:6}{instance.size:>6}{instance.optimum:>9}{''.join(cells)}{delay * 1000:>9.0f} ms"


def headings() -> tuple[str, str]:
    names = [SHORT[rule] for rule in (*SIMULATED, *SITES.values())]
    groups = f"{'simulated':>{WIDTH * len(SIMULATED)}}{'the whole factory':>{WIDTH * len(SITES)}}"
    return (
        f"{'':21}{groups}{'median':>12}",
        f"{'':6}{'size':>6}{'optimum':>9}{''.join(name.rjust(WIDTH) for name in names)}{'delay':>12}",
    )


async def test_job_shop_instances_go_through_the_whole_factory(shop: Shop, report: Report) -> None:
    for line in headings():
        report(line)
    for instance in load_instances().values():
        run = production.Shop(instance, shop.address, scale=SECONDS / instance.optimum)
        records = await run.produce(SITES)
        reached = {site: run.schedule(site, records[site], rule) for site, rule in SITES.items()}
        report(row(instance, reached, run.scale))
