"""What a scrape reads."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from libs.observability.metrics import Metrics
from libs.resilience.breaker import Breaker

TOPIC, TYPE = "erp.orders.v1", "erp.order.requested.v1"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("projects")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The sample as a scrape shows it."""
    page, _ = metrics.exposition()
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


def test_messages_are_counted_by_topic_and_type(metrics: Metrics) -> None:
    labels = {"messaging_destination_name": TOPIC, "cloudevents_event_type": TYPE}
    metrics.consumed(TOPIC, TYPE, 5)
    metrics.consumed(TOPIC, TYPE)
    metrics.published(TOPIC, TYPE, 3)
    metrics.duplicates(TOPIC, TYPE, 2)
    metrics.relayed("projects:tick:deadlines", "", 4)
    metrics.dead_lettered(TOPIC, TYPE, "UNREADABLE")

    assert value(metrics, "messaging_client_consumed_messages_total", **labels) == 6
    assert value(metrics, "messaging_client_sent_messages_total", **labels) == 3
    assert value(metrics, "factory_messages_ignored_total", **labels) == 2
    lane = {"lane": "projects:tick:deadlines", "cloudevents_event_type": ""}
    assert value(metrics, "factory_relay_published_messages_total", **lane) == 4
    assert value(metrics, "factory_messages_dead_lettered_total", reason="UNREADABLE", **labels) == 1


def test_batches_are_measured_in_seconds_and_messages(metrics: Metrics) -> None:
    metrics.batch(TOPIC, 120, 0.25)

    topic = {"messaging_destination_name": TOPIC}
    assert value(metrics, "messaging_process_duration_seconds_sum", **topic) == 0.25
    assert value(metrics, "messaging_process_duration_seconds_count", **topic) == 1
    assert value(metrics, "factory_batch_messages_sum", **topic) == 120
    assert value(metrics, "factory_batch_messages_bucket", le="100.0", **topic) == 0
    assert value(metrics, "factory_batch_messages_bucket", le="200.0", **topic) == 1


def test_retries_are_counted_by_error(metrics: Metrics) -> None:
    metrics.transient_retry(TOPIC, ConnectionError("away"))

    labels = {"messaging_destination_name": TOPIC, "error_type": "ConnectionError"}
    assert value(metrics, "factory_transient_retries_total", **labels) == 1


def test_outbox_and_lag_are_gauges(metrics: Metrics) -> None:
    partition = {"messaging_destination_name": TOPIC, "messaging_destination_partition_id": "3"}
    metrics.outbox(7, 12.5)
    metrics.lag(TOPIC, 3, 40)
    metrics.lag(TOPIC, 3, 38)

    assert value(metrics, "factory_outbox_pending") == 7
    assert value(metrics, "factory_outbox_oldest_age_seconds") == 12.5
    assert value(metrics, "factory_consumer_lag_messages", **partition) == 38

    metrics.lag_gone(TOPIC, 3)
    assert value(metrics, "factory_consumer_lag_messages", **partition) is None


def test_a_breaker_shows_its_state(metrics: Metrics) -> None:
    Breaker("redis", fail_max=3, reset_seconds=1, on_change=metrics.breaker_state)

    def shown(state: str) -> float | None:
        return value(metrics, "factory_breaker_state", breaker="redis", factory_breaker_state=state)

    assert [shown(state) for state in ("closed", "open", "half-open")] == [1, 0, 0]


def test_process_platform_and_build_are_there(metrics: Metrics) -> None:
    page = metrics.exposition()[0].decode()

    assert "process_resident_memory_bytes" in page
    assert "python_info" in page
    assert 'factory_build_info{python="' in page
    assert 'service="projects"' in page


def test_services_add_their_own(metrics: Metrics) -> None:
    metrics.counter("reports_counted", "Reports counted", ["outcome"]).labels("GOOD").inc(2)
    metrics.gauge("devices_online", "Devices online").set(5)
    metrics.histogram("activation_seconds", "Activation", buckets=(1, 2)).observe(1.5)

    assert value(metrics, "factory_reports_counted_total", outcome="GOOD") == 2
    assert value(metrics, "factory_devices_online") == 5
    assert value(metrics, "factory_activation_seconds_bucket", le="2.0") == 1


def test_two_processes_in_one_test_do_not_share(metrics: Metrics) -> None:
    Metrics("catalog").consumed(TOPIC, TYPE)

    assert b"erp.orders.v1" not in metrics.exposition()[0]


def test_the_format_is_the_scraper_s_choice(metrics: Metrics) -> None:
    page, content_type = metrics.exposition("application/openmetrics-text; version=1.0.0")

    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")
    assert metrics.exposition("text/html")[1].startswith("text/plain")
