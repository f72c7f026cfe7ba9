"""What `factory demo` says at the end: a table for people, a document for programs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
from rich.table import Table

from libs.devkit.counting import Recount
from libs.devkit.simulators.display import error_lines, plain, seconds
from libs.devkit.simulators.orders import Order, OrderState
from libs.devkit.simulators.stations import Tally

NUMBERS = ("target", "produced", "scrapped", "replacements", "tasks")


@dataclass(slots=True)
class Result:
    """The outcome of a demo. It went well if every order is complete and every number agrees: no `problems`."""

    orders: list[Order] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    recount: Recount | None = None
    tally: Tally | None = None
    started_after: float = 0.0
    produced_after: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.problems and self.recount is not None and self.recount.agrees


def missing(orders: Sequence[Order]) -> list[str]:
    """Every order that is not complete: how far it has come, and its errors."""
    lines = []
    for order in orders:
        if order.state is not OrderState.COMPLETED:
            lines += [f"not complete: {line.strip()}" for line in plain(order)]
    return lines


def table(result: Result) -> Table:
    """A row for every order line, as counted again from the ledger, and the sums. Fits into 80 columns."""
    counts = result.recount.lines if result.recount else ()
    grid = Table(show_footer=True, box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    grid.add_column("order", footer="all", no_wrap=True)
    grid.add_column("line")
    for name in NUMBERS:
        header = name.replace("replacements", "replace-\nments")
        grid.add_column(header, footer=str(sum(getattr(count, name) for count in counts)), justify="right")
    grid.add_column("activation\ntime", justify="right")
    grid.add_column("wall\ntime", footer=seconds(result.produced_after), justify="right")
    orders = {order.order_id: order for order in result.orders}
    above = ""
    for count in counts:
        order = orders[count.order_id]
        numbers = [str(getattr(count, name)) for name in NUMBERS]
        if count.order_id == above:
            grid.add_row("", count.line_id, *numbers)
        else:
            times = (seconds(order.activation_seconds), seconds(order.wall_seconds))
            grid.add_row(count.order_id, count.line_id, *numbers, *times)
        above = count.order_id
    return grid


def problem_lines(result: Result) -> list[str]:
    """All that is wrong, a line each."""
    mismatches = result.recount.mismatches if result.recount else ()
    return [*result.problems, *(f"does not agree: {mismatch}" for mismatch in mismatches)]


def document(result: Result) -> str:
    """Everything as JSON."""
    orders = [
        {
            "order_id": order.order_id,
            "state": order.state,
            "project_id": order.project_id,
            "activation_seconds": order.activation_seconds,
            "wall_seconds": order.wall_seconds,
            "errors": error_lines(order.errors),
        }
        for order in result.orders
    ]
    content = {
        "ok": result.ok,
        "problems": problem_lines(result),
        "orders": orders,
        "lines": result.recount.lines if result.recount else [],
        "devices": result.tally,
        "seconds_to_start": result.started_after,
        "seconds_to_produce": result.produced_after,
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2).decode()
