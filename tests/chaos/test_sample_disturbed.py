"""The sample factory with every message doubled and reordered, and with every service killed once: the same numbers."""

import time

import pytest

from libs.devkit.service import service_names
from libs.devkit.simulators.erp import ErpSimulator
from tests.e2e.noise import Noise
from tests.e2e.shop import Shop, produce
from tests.e2e.test_sample import DISTURBED, assert_complete

pytestmark = pytest.mark.timeout(300)

SERVICES = service_names()


async def test_every_service_can_die_in_the_middle(shop: Shop) -> None:
    victims = [process.name for process in shop.factory.status().processes if process.name in SERVICES]
    assert sorted(victims) == SERVICES

    def kill_one_after_the_other(erp: ErpSimulator) -> None:
        for name in victims:
            time.sleep(0.7)  # so that the production is somewhere else each time
            shop.factory.kill(name)
        shop.factory.wait_ready(60)

    production = await produce(shop, orders=DISTURBED, meanwhile=kill_one_after_the_other)
    assert_complete(production)
    assert {name: shop.factory.restarts(name) for name in SERVICES} == dict.fromkeys(SERVICES, 1)


async def test_doubled_and_reordered_messages_count_once(shop: Shop) -> None:
    async with Noise(shop.address) as noise:
        production = await produce(shop, duplicate=True, orders=DISTURBED)
        await noise.settle()
        assert noise.doubled > 1000
    assert_complete(production)
    undisturbed = {"PO-1001": 1, "PO-1004": 2, "PO-1006": 2}
    assert {order_id: len(order.lines) for order_id, order in production.erp.orders.items()} == undisturbed
