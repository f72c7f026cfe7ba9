"""Routings know what waits for what, whatever their shape."""

import pytest

from tests.unit.execution.progress.given import (
    CHAIN,
    DIAMOND,
    FORK,
    routing,
)


@pytest.mark.parametrize(
    ("shape", "waiting", "first", "chain"),
    [
        (CHAIN, {1: 2, 2: 1, 3: 0}, (1,), True),
        (DIAMOND, {1: 3, 2: 1, 3: 1, 4: 0}, (1,), False),
        (FORK, {1: 0, 2: 0}, (1, 2), False),
    ],
)
def test_shapes(
    shape: dict[int, tuple[int, ...]], waiting: dict[int, int], first: tuple[int, ...], chain: bool
) -> None:
    route = routing(shape)
    assert dict(route.waiting) == waiting
    assert route.first_steps == first
    assert route.is_chain is chain


def test_a_chain_of_a_thousand_steps_is_no_deeper_than_one_of_two() -> None:
    shape = {step: (step - 1,) if step > 1 else () for step in range(1, 1001)}
    assert routing(shape).waiting[1] == 999
