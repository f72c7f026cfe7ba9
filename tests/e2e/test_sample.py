"""The sample factory from orders to products, undisturbed."""

from collections import Counter

import pytest

from libs.devkit.simulators.orders import OrderState
from tests.e2e.shop import Production, Shop, produce

pytestmark = pytest.mark.timeout(300)

DISTURBED = ("PO-1001", "PO-1004", "PO-1006")
"""Orders of the sample that are enough work to be disturbed in the middle."""


def assert_complete(production: Production) -> None:
    states = Counter(order.state for order in production.erp.orders.values())
    assert states == {OrderState.COMPLETED: len(production.erp.orders)}
    assert [str(mismatch) for mismatch in production.recount.mismatches] == []


async def test_every_order_is_completed_and_every_number_agrees_with_the_ledger(shop: Shop) -> None:
    production = await produce(shop)
    assert_complete(production)
    for order in production.erp.orders.values():
        for line in order.lines.values():
            assert line.produced_quantity == line.target_quantity
    assert all(shop.factory.restarts(name) == 0 for name in ("projects", "execution", "catalog"))
