"""The lag that a process tells: of the partitions that are its own, and of no others."""

from dataclasses import dataclass, field
from typing import Any, cast

from libs.observability.metrics import Metrics
from libs.runtime.process import _report_lag


@dataclass
class Consumer:
    """A consumer whose partitions move."""

    topic: str = "erp.orders.v1"
    behind: dict[int, int] = field(default_factory=dict)

    async def lag(self) -> dict[tuple[str, int], int]:
        return {(self.topic, partition): records for partition, records in self.behind.items()}


def shown(metrics: Metrics) -> dict[str, float]:
    """The lag gauges by partition."""
    return {
        sample.labels["messaging_destination_partition_id"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if "lag" in sample.name and "messaging_destination_partition_id" in sample.labels
    }


async def test_a_partition_that_moved_away_has_no_lag_here() -> None:
    metrics, consumer, told = Metrics("test"), Consumer(behind={0: 4, 1: 0}), set[tuple[str, int]]()
    consumers = cast(Any, [consumer])

    await _report_lag(metrics, consumers, told)
    assert shown(metrics) == {"0": 4, "1": 0}

    consumer.behind = {1: 7}
    await _report_lag(metrics, consumers, told)
    assert shown(metrics) == {"1": 7}

    consumer.behind = {0: 2, 1: 7}
    await _report_lag(metrics, consumers, told)
    assert shown(metrics) == {"0": 2, "1": 7}
