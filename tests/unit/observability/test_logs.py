"""A log line looks the same wherever it comes from, and is always one line of JSON."""

import asyncio
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from libs.observability import logs

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, shown = root.handlers[:], root.level, warnings.showwarning
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level, warnings.showwarning = handlers, level, shown
    structlog.reset_defaults()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_has_its_fields_in_a_fixed_order(lines: Lines) -> None:
    logs.configure("projects")

    logs.get_logger("services.projects.app").info("started", topics=3)

    (line,) = lines()
    assert list(line) == ["timestamp", "level", "event", "logger", "service", "topics"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "event": "started",
        "logger": "services.projects.app",
        "service": "projects",
        "topics": 3,
    }


def test_a_library_line_comes_out_like_ours(lines: Lines) -> None:
    logs.configure("projects")

    with logs.bound(order_id="o-1"):
        logging.getLogger("some.library").warning("%s of %d", "one", 2)

    (line,) = lines()
    assert list(line) == ["timestamp", "level", "event", "logger", "service", "order_id"]
    assert (line["level"], line["event"], line["logger"]) == ("warning", "one of 2", "some.library")


def test_a_logger_made_before_configure_follows_it(lines: Lines) -> None:
    early = logs.get_logger("early")
    logs.configure("first")
    early.info("one")
    logs.configure("second", level="warning")
    early.info("not shown")
    early.warning("two")

    assert [(line["service"], line["event"]) for line in lines()] == [("first", "one"), ("second", "two")]


async def test_bound_fields_follow_the_task_and_end_with_the_block(lines: Lines) -> None:
    logs.configure("projects")
    log = logs.get_logger("x")

    async def child() -> None:
        log.info("in a task")

    async def sibling(order_id: str) -> None:
        with logs.bound(order_id=order_id):
            await asyncio.sleep(0)
            log.info("sibling")

    with logs.bound(correlation_id="c-1", order_id="o-1", trace_id=None):
        await asyncio.create_task(child())
        await asyncio.gather(sibling("o-2"), sibling("o-3"))
    log.info("after")

    task, second, third, after = lines()
    assert (task["correlation_id"], task["order_id"]) == ("c-1", "o-1")
    assert "trace_id" not in task
    assert {second["order_id"], third["order_id"]} == {"o-2", "o-3"}
    assert "correlation_id" not in after


def test_an_exception_is_one_line(lines: Lines) -> None:
    logs.configure("projects")

    try:
        raise ValueError("bad\nthing")
    except ValueError:
        logs.get_logger("x").exception("failed")

    (line,) = lines()
    assert line["level"] == "error"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: bad\nthing")


@pytest.mark.parametrize(
    "value", [b"\xff", "\ud800", 2**70, {1, 2}, object(), {1: "x"}, float("nan"), ValueError("x"), "a\nb\x00"]
)
def test_whatever_is_logged_is_one_line_of_json(lines: Lines, value: object) -> None:
    logs.configure("projects")

    logs.get_logger("x").info("odd", value=value)

    (line,) = lines()
    assert line["event"] == "odd"
    assert "value" in line


def test_chatty_libraries_speak_from_warning_on_even_at_debug(lines: Lines) -> None:
    logs.configure("projects", level="debug")

    logging.getLogger("aiokafka.consumer.group_coordinator").info("Joined group")
    logging.getLogger("aiokafka.consumer.group_coordinator").warning("Heartbeat failed")
    logs.get_logger("ours").debug("detail")

    assert [line["event"] for line in lines()] == ["Heartbeat failed", "detail"]


def test_a_library_s_own_handlers_are_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    theirs = logging.getLogger("faststream.access.test")
    theirs.addHandler(logging.StreamHandler())
    theirs.propagate = False
    logs.configure("projects")

    theirs.error("broken")

    printed = capsys.readouterr()
    line = json.loads(printed.out)
    assert (line["event"], line["logger"]) == ("broken", "faststream.access.test")
    assert printed.err == ""


def test_warnings_are_lines_too(lines: Lines) -> None:
    logs.configure("projects")

    warnings.warn("old", DeprecationWarning, stacklevel=1)

    (line,) = lines()
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")


def test_console_is_for_eyes(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("projects", fmt="console")

    try:
        raise ValueError("bad thing")
    except ValueError:
        logs.get_logger("x").exception("failed", order_id="o-1")

    out = capsys.readouterr().out
    assert "failed" in out
    assert "order_id=o-1" in out
    assert "ValueError: bad thing" in out


@pytest.mark.parametrize(
    ("level", "fmt", "named"), [("loud", "json", "FACTORY_LOG_LEVEL"), ("info", "xml", "FACTORY_LOG_FORMAT")]
)
def test_a_wrong_setting_is_named(level: str, fmt: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        logs.configure("projects", level, fmt)
