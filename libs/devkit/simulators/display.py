"""Orders for a person's eyes: a live table on a terminal, plain lines elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from libs.devkit.simulators.masterdata import Publication
from libs.devkit.simulators.orders import Line, Order, OrderState

BAR_WIDTH = 12

COLOURS = {
    OrderState.SENT: "dim",
    OrderState.ACCEPTED: "cyan",
    OrderState.ACTIVE: "yellow",
    OrderState.COMPLETED: "green",
    OrderState.CANCELLED: "magenta",
    OrderState.REJECTED: "red",
    OrderState.ACTIVATION_FAILED: "red",
}


def error_lines(errors: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each error of an answer on one line: code, path, message."""
    return [" ".join(str(error.get(name) or "-") for name in ("code", "path", "message")) for error in errors]


def seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def plain(order: Order) -> list[str]:
    """What there is to say of an order, without colours or cursor movement."""
    lines = [f"{order.order_id} {order.state}"]
    if order.state in (OrderState.ACTIVE, OrderState.COMPLETED, OrderState.CANCELLED):
        lines = [
            f"{order.order_id}/{line.line_id} {order.state}: produced {line.produced_quantity}/{line.target_quantity}"
            f" (executions: {line.executions_good} good, {line.executions_scrapped} scrapped,"
            f" {line.executions_in_work} in work)"
            for line in order.lines.values()
        ]
    return lines + [f"  {order.order_id} {error}" for error in error_lines(order.errors)]


def table(orders: Iterable[Order]) -> Group:
    """All orders as they stand, and below them what went wrong. Fits into 80 columns."""
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("order", "state", "line", "builds"):
        grid.add_column(name, no_wrap=True)
    for name in ("produced", "good", "scrap", "in work"):
        grid.add_column(name, justify="right")
    grid.add_column("executions", width=BAR_WIDTH)
    errors = []
    for order in orders:
        head: list[str | Text] = [order.order_id, Text(order.state, style=COLOURS[order.state])]
        for line in order.lines.values():
            grid.add_row(*head, line.line_id, *_numbers(order, line))
            head = ["", ""]
        errors += [Text(f"{order.order_id}: {error}", style="red") for error in error_lines(order.errors)]
    return Group(grid, *errors)


def _numbers(order: Order, line: Line) -> tuple[str | ProgressBar, ...]:
    asked: dict[str, Any] = next(
        (one for one in order.request.get("lines", []) if str(one.get("line_id")) == line.line_id), {}
    )
    return (
        str(asked.get("product_code") or asked.get("recipe_code") or ""),
        f"{line.produced_quantity}/{line.target_quantity}",
        str(line.executions_good),
        str(line.executions_scrapped),
        str(line.executions_in_work),
        ProgressBar(total=max(1, line.executions_planned), completed=line.executions_good, width=BAR_WIDTH),
    )


def show_publications(console: Console, publications: Sequence[Publication]) -> None:
    """What the catalog said to each piece of master data."""
    for publication in publications:
        version = f" version {publication.version}" if publication.version else ""
        console.print(f"{publication.message.key}: {publication.outcome}{version}", highlight=False)
        for error in error_lines(publication.errors):
            console.print(f"  {error}", style="red", highlight=False, markup=False)


def summary(publications: Sequence[Publication], orders: Sequence[Order], ok: bool) -> str:
    """Everything an ERP has heard, as one JSON document."""
    document = {
        "ok": ok,
        "master_data": [
            {
                "code": publication.message.key,
                "outcome": publication.outcome,
                "version": publication.version,
                "errors": publication.errors,
            }
            for publication in publications
        ],
        "orders": orders,
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


class Progress:
    """Shows orders as they change: `quiet` nothing, on a terminal a live table, else a line a change.

    Lines of progress come at most every `every` seconds an order; a change of state is always said.
    """

    def __init__(
        self, console: Console, orders: Mapping[str, Order], *, quiet: bool = False, every: float = 2.0
    ) -> None:
        self._console = console
        self._orders = orders
        self._quiet = quiet
        self._every = every
        self._said: dict[str, tuple[str, float]] = {}
        self._live = (
            Live(get_renderable=lambda: table(self._orders.values()), console=console, refresh_per_second=8)
            if console.is_terminal and not quiet
            else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def changed(self, order: Order, now: float) -> None:
        """Say what an order has come to; `now` in seconds of any clock that only grows."""
        if self._quiet or self._live:
            return
        what = f"{order.state} {order.errors}"
        said, at = self._said.get(order.order_id, ("", 0.0))
        if said != what or now - at >= self._every:
            self._said[order.order_id] = (what, now)
            for line in plain(order):
                self._console.print(line, highlight=False, soft_wrap=True, markup=False)
