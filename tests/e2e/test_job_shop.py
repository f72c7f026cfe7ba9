"""A job shop, ft06 of the literature: every operation once and in order, one at a time on a machine, by a site's rule.

The makespans of this and of larger instances are measured in `tests/benchmarks/test_job_shop.py`.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.job_shop import production
from tests.benchmarks.job_shop.instances import load_instances
from tests.benchmarks.job_shop.rules import MWR, PRIORITY
from tests.e2e.shop import Shop, open_shop

pytestmark = pytest.mark.timeout(300)

SITES = {"by-priority": PRIORITY, "by-work": MWR}
SCALE = 0.1
"""Seconds that a time unit of the instance takes."""


@pytest.fixture
def shop(tmp_path: Path, backends: dict[str, str], backend_settings: dict[str, str], namespace: str) -> Iterator[Shop]:
    own = {"FACTORY_SITE_POLICIES": json.dumps(production.policies(SITES))}
    opened = open_shop(tmp_path / "factory", backends, namespace, {**backend_settings, **own})
    yield opened
    opened.factory.stop()


async def test_a_job_shop_is_worked_off_in_order_by_the_rule_of_its_site(shop: Shop) -> None:
    instance = load_instances()["ft06"]
    run = production.Shop(instance, shop.address, SCALE)
    records = await run.produce(SITES)
    for site, rule in SITES.items():
        schedule = run.schedule(site, records[site], rule)
        assert len(schedule.operations) == 36
        assert schedule.makespan > instance.bound - 1  # no schedule is shorter; times are whole milliseconds
