"""The tracer that records spans with the OpenTelemetry SDK and hands them to an exporter, off the event loop."""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from libs.observability import logs
from libs.observability.trace_file import FileSpanExporter
from libs.observability.traceparent import valid
from libs.observability.tracing import AttributeValue, Tracer

_NO_PARENT = Context()


def to_otlp(service: str) -> Tracer:
    """Spans to an OpenTelemetry collector, over HTTP."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return _tracer(service, OTLPSpanExporter(), send_every_ms=1_000)


def to_file(service: str, path: Path) -> Tracer:
    """Spans as JSON lines; several processes may share the file."""
    # Soon: people and tests wait for it, and a killed process loses what it has not written.
    return _tracer(service, FileSpanExporter(path), send_every_ms=200)


def _tracer(service: str, exporter: SpanExporter, send_every_ms: int) -> Tracer:
    # What is given here wins over the environment, so it is given only where the environment is silent.
    named = SERVICE_NAME in OTELResourceDetector().detect().attributes
    resource = Resource.create({} if named else {SERVICE_NAME: service})
    provider = TracerProvider(
        resource=resource,
        # The default of 128 would cut the links of an ordinary batch.
        span_limits=SpanLimits(max_links=_unless_set("OTEL_SPAN_LINK_COUNT_LIMIT", 1_000)),
        # `Tracer.shutdown` flushes, with a limit; the SDK at exit waits for a dead collector much longer.
        shutdown_on_exit=False,
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            # A few batches of messages end at the same moment: the default of 2,048 spans would drop some.
            max_queue_size=_unless_set("OTEL_BSP_MAX_QUEUE_SIZE", 32_768),
            schedule_delay_millis=_unless_set("OTEL_BSP_SCHEDULE_DELAY", send_every_ms),
        )
    )
    return ExportingTracer(provider)


def _unless_set(variable: str, value: int) -> int | None:
    return None if os.environ.get(variable) else value


class _Batch:
    """The span of the batch being handled, and the message spans that end with it."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.began = time.time_ns()
        self.links = [Link(span.get_span_context())] if span.is_recording() else []
        self.messages: list[Span] = []
        self.over = False


class ExportingTracer(Tracer):
    """Records spans; see `Tracer` for what each method promises."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("smart-factory")
        self._batch: ContextVar[_Batch | None] = ContextVar("batch", default=None)

    @contextmanager
    def batch(self, name: str, n: int, attributes: Mapping[str, AttributeValue] | None = None) -> Iterator[None]:
        span = self._start(
            name, _NO_PARENT, {**(attributes or {}), "messaging.batch.message_count": n}, links=[], began=None
        )
        batch = _Batch(span)
        outer = self._batch.set(batch)
        failure: Status | None = None
        try:
            with self._current(span.get_span_context(), set_span_in_context(span)):
                yield
        except BaseException as error:
            failure = Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"[:500])
            span.record_exception(error)
            raise
        finally:
            self._batch.reset(outer)
            batch.over = True
            ended = time.time_ns()
            for each in (*batch.messages, span):
                if failure:
                    each.set_status(failure)
                each.end(ended)

    def message(
        self, name: str, traceparent: str | None, attributes: Mapping[str, AttributeValue] | None = None
    ) -> str:
        batch = self._batch.get()
        if batch and batch.over:  # in a task that the batch has left behind
            batch = None
        known = valid(traceparent)
        span = self._start(
            name,
            set_span_in_context(NonRecordingSpan(_remote(known)), _NO_PARENT) if known else _NO_PARENT,
            attributes or {},
            links=batch.links if batch else [],
            began=batch.began if batch else None,
        )
        context = span.get_span_context()
        if span.is_recording():
            if batch:
                batch.span.add_link(context)
                batch.messages.append(span)
            else:
                span.end()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    @contextmanager
    def attached(self, traceparent: str | None) -> Iterator[None]:
        if not (known := valid(traceparent)):
            yield
            return
        context = _remote(known)
        with self._current(context, set_span_in_context(NonRecordingSpan(context))):
            yield

    def shutdown(self, timeout_seconds: float = 5.0) -> None:
        # The SDK's own shutdown has no limit that its callers can set, and a collector may be gone.
        flushing = threading.Thread(target=self._provider.shutdown, name="trace-flush", daemon=True)
        flushing.start()
        flushing.join(timeout_seconds)

    def _start(
        self,
        name: str,
        parent: Context,
        attributes: Mapping[str, AttributeValue],
        links: Sequence[Link],
        began: int | None,
    ) -> Span:
        return self._tracer.start_span(
            name, context=parent, kind=SpanKind.CONSUMER, attributes=attributes, links=links, start_time=began
        )

    @contextmanager
    def _current(self, span: SpanContext, context: Context) -> Iterator[None]:
        token = otel_context.attach(context)
        try:
            with logs.bound(trace_id=f"{span.trace_id:032x}", span_id=f"{span.span_id:016x}"):
                yield
        finally:
            otel_context.detach(token)


def _remote(traceparent: str) -> SpanContext:
    return SpanContext(
        trace_id=int(traceparent[3:35], 16),
        span_id=int(traceparent[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(traceparent[53:55], 16)),
    )
