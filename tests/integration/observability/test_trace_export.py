"""Traces leave the process: to a collector over HTTP, and to a file that several processes share."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from libs.observability import tracing
from libs.observability.tracing import trace_id_of


class Collector:
    """An OpenTelemetry collector as far as an exporter can tell; `answers` not, while that is cleared."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.answers = threading.Event()
        self.answers.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.answers.wait(30)
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    serving = threading.Thread(target=collector.server.serve_forever, args=(0.05,))
    serving.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    yield collector
    collector.answers.set()
    collector.server.shutdown()
    serving.join()
    collector.server.server_close()


def test_a_collector_gets_batch_and_message_spans(collector: Collector) -> None:
    tracer = tracing.configure("execution", {"OTEL_TRACES_EXPORTER": "otlp"})
    with tracer.batch("process devices.reports.v1", 1):
        carried_on = tracer.message("process device.task.completed.v1", None, {"factory.site": "main"})

    tracer.shutdown()

    (resource,) = [each for request in collector.requests for each in request.resource_spans]
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "execution"
    spans = {span.name: span for scope in resource.scope_spans for span in scope.spans}
    assert spans.keys() == {"process devices.reports.v1", "process device.task.completed.v1"}
    assert spans["process device.task.completed.v1"].trace_id.hex() == trace_id_of(carried_on)


def test_a_collector_that_hangs_neither_slows_work_nor_holds_up_the_end(collector: Collector) -> None:
    collector.answers.clear()
    tracer = tracing.configure("execution", {"OTEL_TRACES_EXPORTER": "otlp"})

    began = time.monotonic()
    for _ in range(2_000):
        tracer.message("process", None)
    tracer.shutdown(timeout_seconds=0.3)

    assert time.monotonic() - began < 5


WRITER = """
import sys
from libs.observability import tracing
tracer = tracing.configure(sys.argv[1])
traceparent = sys.argv[2]
for _ in range(20):
    with tracer.batch("batch", 100):
        for _ in range(100):
            traceparent = tracer.message("message", traceparent, {"note": "x" * 200})
tracer.shutdown()
"""


def test_processes_share_a_file_without_mixing_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    environ = os.environ | {"OTEL_TRACES_EXPORTER": "file", "FACTORY_TRACE_FILE": str(path)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, service, f"00-{trace_id}-00f067aa0ba902b7-01"], env=environ)
        for service in ("projects", "catalog")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]

    spans = [json.loads(line) for line in path.read_text().splitlines()]
    messages = [span for span in spans if span["name"] == "message"]
    assert len(spans) == 2 * 20 * 101
    assert {span["trace_id"] for span in messages} == {trace_id}
    assert {span["service"] for span in spans} == {"projects", "catalog"}
