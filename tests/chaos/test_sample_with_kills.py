"""The sample factory while every service is killed once: the same numbers at the end."""

import time

import pytest

from libs.devkit.simulators.erp import ErpSimulator
from tests.e2e.shop import Shop, produce
from tests.e2e.test_sample import DISTURBED, assert_complete

pytestmark = pytest.mark.timeout(300)

SERVICES = ("projects", "catalog", "snapshot", "task_generation", "execution", "insight", "gateway")


async def test_every_service_can_die_in_the_middle(shop: Shop) -> None:
    victims = [process.name for process in shop.factory.status().processes if process.name in SERVICES]
    assert sorted(victims) == sorted(SERVICES)

    def kill_one_after_the_other(erp: ErpSimulator) -> None:
        for name in victims:
            time.sleep(0.7)  # so that the production is somewhere else each time
            shop.factory.kill(name)
        shop.factory.wait_ready(60)

    production = await produce(shop, orders=DISTURBED, meanwhile=kill_one_after_the_other)
    assert_complete(production)
    assert {name: shop.factory.restarts(name) for name in SERVICES} == dict.fromkeys(SERVICES, 1)
