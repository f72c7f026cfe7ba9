"""Spans as JSON lines in a file: traces for development and tests, where no collector runs."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson
from opentelemetry.sdk.resources import SERVICE_NAME
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


class FileSpanExporter(SpanExporter):
    """Appends each span as one JSON line; each batch of spans in one write, so that processes do not mix
    their lines.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lines = b"".join(orjson.dumps(_as_json(span), default=repr) + b"\n" for span in spans)
        written = 0
        while written < len(lines):
            written += os.write(self._file, lines[written:])
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        os.close(self._file)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def _as_json(span: ReadableSpan) -> dict[str, object]:
    context = span.get_span_context()
    assert context is not None  # every ended span has one
    return {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "name": span.name,
        "service": span.resource.attributes[SERVICE_NAME],
        "kind": span.kind.name,
        "start": _rfc3339(span.start_time),
        "end": _rfc3339(span.end_time),
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes or {}),
        "links": [
            {"trace_id": f"{link.context.trace_id:032x}", "span_id": f"{link.context.span_id:016x}"}
            for link in span.links
        ],
    }


def _rfc3339(nanoseconds: int | None) -> str | None:
    if nanoseconds is None:
        return None
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat().replace("+00:00", "Z")
