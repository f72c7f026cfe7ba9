"""Traces: what a message carries on, and what the recorded spans say about it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace as otel
from structlog.contextvars import get_contextvars

from libs.observability import tracing
from libs.observability.traceparent import valid
from libs.observability.tracing import Tracer, span_id_of, trace_id_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
NOT_SAMPLED = f"00-{TRACE}-{SPAN}-00"

Spans = Callable[[], dict[str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "traces" / "spans.jsonl"


@pytest.fixture
def make(path: Path) -> Iterator[Callable[[], Tracer]]:
    made: list[Tracer] = []

    def make() -> Tracer:
        made.append(tracing.configure("projects", {"OTEL_TRACES_EXPORTER": "file", "FACTORY_TRACE_FILE": str(path)}))
        return made[-1]

    yield make
    for each in made:
        each.shutdown()


@pytest.fixture
def tracer(make: Callable[[], Tracer]) -> Tracer:
    return make()


@pytest.fixture
def spans(tracer: Tracer, path: Path) -> Spans:
    """The recorded spans by name, once the tracer is shut down."""

    def read() -> dict[str, dict[str, Any]]:
        tracer.shutdown()
        return {span["name"]: span for span in map(json.loads, path.read_text().splitlines())}

    return read


class TestOff:
    def test_the_trace_goes_on_unchanged(self) -> None:
        tracer = tracing.configure("projects", {})

        assert type(tracer) is tracing.Tracer
        with tracer.batch("process erp.orders.v1", 2):
            assert tracer.message("process", SAMPLED) == SAMPLED
            assert tracer.message("process", NOT_SAMPLED) == NOT_SAMPLED

    @pytest.mark.parametrize("header", [None, "", "garbage", SAMPLED + "\n"])
    def test_a_trace_begins_where_there_is_none(self, header: str | None) -> None:
        tracer = tracing.configure("projects", {})

        first, second = tracer.message("process", header), tracer.message("process", header)

        assert valid(first) == first
        assert trace_id_of(first) != trace_id_of(second)

    def test_attached_shows_in_the_logs(self) -> None:
        tracer = tracing.configure("projects", {})

        with tracer.attached(SAMPLED):
            assert get_contextvars() == {"trace_id": TRACE, "span_id": SPAN}
        with tracer.attached("garbage"):
            assert get_contextvars() == {}

    @pytest.mark.parametrize("environ", [{"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_TRACES_EXPORTER": ""}])
    def test_none_is_off(self, environ: dict[str, str]) -> None:
        assert type(tracing.configure("projects", environ)) is tracing.Tracer

    def test_the_sdk_can_be_disabled_as_a_whole(self) -> None:
        environ = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}

        assert type(tracing.configure("projects", environ)) is tracing.Tracer


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin'"),
        ({"OTEL_TRACES_EXPORTER": "file"}, "FACTORY_TRACE_FILE"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ],
)
def test_a_variable_that_cannot_be_followed_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        tracing.configure("projects", environ)


class TestRecorded:
    def test_a_message_is_a_child_of_what_it_came_with(self, tracer: Tracer, spans: Spans) -> None:
        carried_on = tracer.message("process erp.order.requested.v1", SAMPLED, {"factory.site": "main"})

        span = spans()["process erp.order.requested.v1"]
        assert span["trace_id"] == TRACE == trace_id_of(carried_on)
        assert span["parent_span_id"] == SPAN
        assert span["span_id"] == span_id_of(carried_on)
        assert span["service"] == "projects"
        assert span["kind"] == "CONSUMER"
        assert span["status"] == "UNSET"
        assert span["attributes"] == {"factory.site": "main"}
        assert span["start"] <= span["end"]
        assert span["end"].endswith("Z")

    @pytest.mark.parametrize("header", [None, "garbage"])
    def test_a_root_where_there_is_no_trace(self, tracer: Tracer, spans: Spans, header: str | None) -> None:
        carried_on = tracer.message("first", header)

        span = spans()["first"]
        assert span["parent_span_id"] is None
        assert span["trace_id"] == trace_id_of(carried_on)

    def test_a_chain_of_messages_is_one_trace(self, tracer: Tracer, spans: Spans) -> None:
        one = tracer.message("one", None)
        two = tracer.message("two", one)
        tracer.message("three", two)

        found = spans()
        assert {span["trace_id"] for span in found.values()} == {trace_id_of(one)}
        assert found["two"]["parent_span_id"] == found["one"]["span_id"]
        assert found["three"]["parent_span_id"] == found["two"]["span_id"]

    def test_batch_and_messages_are_linked_and_end_together(self, tracer: Tracer, spans: Spans) -> None:
        with tracer.batch("process erp.orders.v1", 2, {"messaging.destination.name": "erp.orders.v1"}):
            tracer.message("one", SAMPLED)
            tracer.message("two", None)

        found = spans()
        batch, one, two = found["process erp.orders.v1"], found["one"], found["two"]
        assert batch["parent_span_id"] is None
        assert batch["trace_id"] not in (one["trace_id"], two["trace_id"])
        assert batch["attributes"] == {
            "messaging.destination.name": "erp.orders.v1",
            "messaging.batch.message_count": 2,
        }
        assert batch["links"] == [{"trace_id": each["trace_id"], "span_id": each["span_id"]} for each in (one, two)]
        assert one["links"] == two["links"] == [{"trace_id": batch["trace_id"], "span_id": batch["span_id"]}]
        assert one["end"] == two["end"] == batch["end"]

    def test_a_batch_of_hundreds_keeps_all_its_links(self, tracer: Tracer, spans: Spans) -> None:
        with tracer.batch("batch", 500):
            for _ in range(500):
                tracer.message("one", None)

        assert len(spans()["batch"]["links"]) == 500

    def test_what_leaves_a_batch_marks_its_spans(self, tracer: Tracer, spans: Spans) -> None:
        def fail() -> None:
            with tracer.batch("batch", 1):
                tracer.message("one", SAMPLED)
                raise LookupError("no such recipe")

        with pytest.raises(LookupError):
            fail()

        assert {span["status"] for span in spans().values()} == {"ERROR"}

    def test_an_unsampled_trace_goes_on_unrecorded(self, tracer: Tracer, spans: Spans) -> None:
        with tracer.batch("batch", 2):
            carried_on = tracer.message("unsampled", NOT_SAMPLED)
            tracer.message("sampled", SAMPLED)

        assert trace_id_of(carried_on) == TRACE
        assert carried_on.endswith("-00")
        found = spans()
        assert found.keys() == {"batch", "sampled"}
        assert len(found["batch"]["links"]) == 1

    def test_the_sampler_is_the_environment_s(
        self, make: Callable[[], Tracer], path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
        tracer = make()

        with tracer.batch("batch", 1):
            carried_on = tracer.message("root", None)
            tracer.message("child of a sampled one", SAMPLED)
        tracer.shutdown()

        assert valid(carried_on) == carried_on
        (span,) = map(json.loads, path.read_text().splitlines())
        assert span["name"] == "child of a sampled one"
        assert span["links"] == []

    def test_the_service_name_is_the_environment_s_when_it_has_one(
        self, make: Callable[[], Tracer], path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", "plant-7")
        tracer = make()

        tracer.message("one", None)
        tracer.shutdown()

        assert json.loads(path.read_text())["service"] == "plant-7"

    async def test_batches_at_the_same_time_do_not_mix(self, tracer: Tracer, spans: Spans) -> None:
        async def handle(name: str) -> None:
            with tracer.batch(f"batch {name}", 1):
                await asyncio.sleep(0)
                tracer.message(f"message {name}", None)
                await asyncio.sleep(0)

        await asyncio.gather(handle("a"), handle("b"))

        found = spans()
        for name in "ab":
            assert found[f"message {name}"]["links"][0]["span_id"] == found[f"batch {name}"]["span_id"]

    async def test_a_task_that_outlives_its_batch_records_on_its_own(self, tracer: Tracer, spans: Spans) -> None:
        gate = asyncio.Event()

        async def late() -> None:
            await gate.wait()
            tracer.message("late", SAMPLED)

        with tracer.batch("batch", 0):
            task = asyncio.create_task(late())
            await asyncio.sleep(0)
        gate.set()
        await task

        found = spans()
        assert found["late"]["links"] == []
        assert found["batch"]["links"] == []

    def test_the_current_span_shows_in_the_logs_and_to_instrumented_libraries(self, tracer: Tracer) -> None:
        with tracer.batch("batch", 1):
            inside = otel.get_current_span().get_span_context()
            assert get_contextvars()["span_id"] == f"{inside.span_id:016x}"
        with tracer.attached(SAMPLED):
            assert f"{otel.get_current_span().get_span_context().span_id:016x}" == SPAN
            assert get_contextvars() == {"trace_id": TRACE, "span_id": SPAN}
        with tracer.attached(None):
            assert not otel.get_current_span().get_span_context().is_valid
        assert get_contextvars() == {}
