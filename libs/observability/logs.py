"""One line per event, from our code and from the libraries alike.

structlog and the standard library's logging meet in one handler, so that a line of aiokafka or uvicorn
carries the same fields in the same order as ours: timestamp (RFC 3339, UTC), level, event, logger, service,
then whatever `bound` has put around the call (correlation_id, order_id, project_id, site, trace_id, span_id).
"""

import json
import logging
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import orjson
import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

_LEVELS = ("debug", "info", "warning", "error", "critical")

# At info these describe their own bookkeeping, some of them once per message; at debug they drown everything else.
_CHATTY = ("aiokafka", "faststream", "httpcore", "httpx", "pymongo", "urllib3", "uvicorn")

# These install handlers of their own on import; taken away, their records reach the one handler of the root logger.
_SELF_MADE = ("aiokafka", "faststream", "uvicorn")

_FIRST = ("timestamp", "level", "event", "logger", "service")


def configure(service: str, level: str = "info", fmt: str = "json") -> None:
    """Send every log line of this process to stdout. Calling it again replaces what the call before set up.

    `level`: debug, info, warning, error or critical, in any case. `fmt`: "json" (one object per line) or "console"
    (for eyes). Raises ValueError naming FACTORY_LOG_LEVEL or FACTORY_LOG_FORMAT when one is none of these.
    """
    if level.lower() not in _LEVELS:
        raise ValueError(f"FACTORY_LOG_LEVEL is {level!r}; it should be one of {', '.join(_LEVELS)}")
    if fmt not in ("json", "console"):
        raise ValueError(f"FACTORY_LOG_FORMAT is {fmt!r}; it should be json or console")

    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Loggers made at import time would keep what the first line found, whatever is configured after it.
        cache_logger_on_first_use=False,
    )
    handler = _Handler(sys.stdout)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[ProcessorFormatter.remove_processors_meta, _arranged(service), *_renderers(fmt)],
        )
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    _take_over_libraries(root.level)
    logging.captureWarnings(True)


def get_logger(name: str) -> BoundLogger:
    """A logger for the module `name`; it may be made at import time, and follows the latest `configure`."""
    logger: BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def bound(**fields: Any) -> AbstractContextManager[None]:
    """Add `fields` to every line logged inside the `with`, by this task and those it starts. None values are
    left out.
    """
    known = {key: value for key, value in fields.items() if value is not None}
    return bound_contextvars(**known) if known else nullcontext()


class _Handler(logging.StreamHandler[Any]):
    """A class of its own, so that a second `configure` can tell the first one's handler from pytest's or a host's."""


def _take_over_libraries(level: int) -> None:
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in _SELF_MADE:
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _arranged(service: str) -> Processor:
    """The fields a reader looks for first come first, and the service's name joins them."""

    def arrange(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return {**{key: event[key] for key in _FIRST if key in event}, **event}

    return arrange


def _renderers(fmt: str) -> list[Processor]:
    if fmt == "json":
        return [structlog.processors.format_exc_info, _json_line]
    plain = structlog.dev.plain_traceback  # rich's traceback would print every local variable
    return [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=plain)]


def _json_line(logger: WrappedLogger, method: str, event: EventDict) -> str:
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Lone surrogates and integers over 64 bits: what a broken message may well bring, and just what must be logged.
        return json.dumps({str(key): value for key, value in event.items()}, default=repr)
