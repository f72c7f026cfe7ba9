"""Traces that run unbroken through Kafka, batches and the outbox.

Every consumed message gets a span, child of the `traceparent` it came with; what the message causes carries
that span's `traceparent`. A batch mixes messages of many traces, so its span is part of none: it links to
each message's span.

`configure` chooses by environment: OTEL_TRACES_EXPORTER = none (default) | otlp (protobuf over HTTP, the
endpoint from OTEL_EXPORTER_OTLP_*) | file (one JSON object per span, appended to FACTORY_TRACE_FILE). The
OpenTelemetry SDK itself reads OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_* and OTEL_SDK_DISABLED.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from libs.observability import logs
from libs.observability.traceparent import fresh, span_id_of, trace_id_of, valid

__all__ = ["AttributeValue", "Tracer", "configure", "span_id_of", "trace_id_of"]

AttributeValue = str | bool | int | float

_NOTHING: AbstractContextManager[None] = nullcontext()


class Tracer:
    """The tracer when nothing is exported: it only keeps trace ids going, in about a microsecond per message."""

    def batch(
        self, name: str, n: int, attributes: Mapping[str, AttributeValue] | None = None
    ) -> AbstractContextManager[None]:
        """Surround the handling of one batch of `n` messages. An exception that leaves the block marks its
        spans failed.
        """
        return _NOTHING

    def message(
        self, name: str, traceparent: str | None, attributes: Mapping[str, AttributeValue] | None = None
    ) -> str:
        """A span for one message that was consumed with `traceparent` (None or malformed: a new trace begins).

        Returns the traceparent for the messages that it causes. Inside `batch` the span lasts until the batch
        ends, since that is when its effects are committed; outside it is over at once.
        """
        return valid(traceparent) or fresh()

    def attached(self, traceparent: str | None) -> AbstractContextManager[None]:
        """Make `traceparent` the current trace, for logs and for instrumented libraries: what the relay
        publishes under.
        """
        if not (trace_id := trace_id_of(traceparent)):
            return _NOTHING
        return logs.bound(trace_id=trace_id, span_id=span_id_of(traceparent))

    def shutdown(self, timeout_seconds: float = 5.0) -> None:
        """Send what is still queued, waiting `timeout_seconds` at most. Call it last."""


def configure(service: str, environ: Mapping[str, str] = os.environ) -> Tracer:
    """The tracer that the environment asks for. Raises ValueError naming the variable that cannot be followed."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() or "none"
    if exporter not in ("none", "otlp", "file"):
        raise ValueError(f"OTEL_TRACES_EXPORTER is {exporter!r}; it should be none, otlp or file")
    if exporter == "none" or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Tracer()

    # The SDK takes longer to import than a service without traces should wait for.
    from libs.observability import tracing_export

    if exporter == "otlp":
        for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            if environ.get(name, "http/protobuf") not in ("", "http/protobuf"):
                raise ValueError(f"{name} is {environ[name]!r}; only http/protobuf is supported")
        return tracing_export.to_otlp(service)
    if not (path := environ.get("FACTORY_TRACE_FILE")):
        raise ValueError("OTEL_TRACES_EXPORTER is file: FACTORY_TRACE_FILE should name the file to append spans to")
    return tracing_export.to_file(service, Path(path))
