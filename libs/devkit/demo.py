"""`factory demo`: the bicycle factory from its orders to its products, and then every number counted again."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from pymongo.errors import PyMongoError
from rich.console import Console

from libs.devkit import demo_report
from libs.devkit.demo_factory import Access, Remaining, Running, attached, kept, own
from libs.devkit.demo_report import Result
from libs.devkit.recount import recount_orders
from libs.devkit.simulators.address import Nowhere
from libs.devkit.simulators.display import Progress, error_lines
from libs.devkit.simulators.erp import ErpSimulator
from libs.devkit.simulators.files import FLEET_FILE, SAMPLE, Message, load, renamed
from libs.devkit.simulators.fleet import DeviceFleet
from libs.devkit.simulators.fleet_file import load_fleet
from libs.devkit.simulators.kafka import NoKafka

INTERRUPTED = 130


def demo(
    attach: Annotated[bool, typer.Option("--attach", help="Use the factory that runs here already.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the factory running; `factory down` stops it.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout, the rest on stderr.")
    ] = False,
    deadline: Annotated[
        float, typer.Option(min=1, help="Seconds after which to give up and say what is missing.")
    ] = 240,
    speed: Annotated[float | None, typer.Option(min=0, help="Expected seconds are divided by it; 0: no time.")] = None,
) -> None:
    """Build some bicycles: start a factory, send the sample's orders, run its devices, count everything again.

    Ends with 0 only if every order is complete and every number agrees with a recount from the ledger.
    """
    began = time.monotonic()
    console = Console(stderr=as_json)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    running = attached if attach else kept if keep else own
    try:
        result = asyncio.run(_interruptible(running, console, began, deadline, speed))
    except asyncio.CancelledError:
        console.print("interrupted")
        raise SystemExit(INTERRUPTED) from None
    except (NoKafka, Nowhere, PyMongoError) as error:
        console.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(1) from None
    if as_json:
        print(demo_report.document(result))
    elif result.recount is not None:
        console.print()
        console.print(demo_report.table(result))
        console.print()
    for problem in demo_report.problem_lines(result):
        console.print(problem, style="red", highlight=False, markup=False, soft_wrap=True)
    if result.ok:
        console.print("All orders are complete, and every number agrees with the ledger.", style="green")
        console.print(f"The devices: {result.tally}.", highlight=False, soft_wrap=True)
    raise SystemExit(0 if result.ok else 1)


async def _interruptible(
    running: Running, console: Console, began: float, deadline: float, speed: float | None
) -> Result:
    """The demo; the first Ctrl-C or SIGTERM ends it in order, further ones change nothing."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, lambda: task.cancelling() or task.cancel())

    def remaining() -> float:
        return max(0.1, began + deadline - time.monotonic())

    async with running(console, remaining) as (access, suffix):
        result = Result(started_after=time.monotonic() - began)
        console.print(f"the factory is ready after {result.started_after:.1f} s", highlight=False)
        await _produce(access, suffix, console, remaining, speed, result)
        return result


async def _produce(
    access: Access, suffix: str, console: Console, remaining: Remaining, speed: float | None, result: Result
) -> None:
    """Send the sample, run its devices, follow the orders, count again; what goes wrong is put into `result`."""
    messages = load(SAMPLE)
    master_data = [message for message in messages if not message.is_order]
    orders = [renamed(message, suffix) if suffix else message for message in messages if message.is_order]
    plan = load_fleet(SAMPLE / FLEET_FILE)
    fleet = DeviceFleet(
        access.address,
        plan.devices(f"{suffix}-" if suffix else ""),
        speed=plan.speed if speed is None else speed,
        rates=plan.rates,
        seed=plan.seed,
    )
    result.tally = fleet.tally
    async with fleet, ErpSimulator(access.address) as erp:
        result.problems += await _publish(erp, master_data, remaining())
        if result.problems:
            return
        with contextlib.suppress(TimeoutError):
            await fleet.online(remaining())
        if fleet.offline:
            result.problems.append(f"no task topic, so not online: {', '.join(fleet.offline)}")
            return
        console.print(f"{len(master_data)} pieces of master data published, {fleet.online_count} devices online")
        began = time.monotonic()
        erp.send_orders(orders)
        result.orders = list(erp.orders.values())
        await _follow(erp, fleet, Progress(console, erp.orders), remaining())
        result.produced_after = time.monotonic() - began
        result.problems += demo_report.missing(result.orders)
    if not result.problems:
        result.recount = await asyncio.to_thread(
            recount_orders, result.orders, master_data, access.mongodb, access.address.namespace
        )


async def _publish(erp: ErpSimulator, master_data: Sequence[Message], timeout: float) -> list[str]:
    """The master data that the catalog did not publish, and why."""
    problems = []
    for publication in await erp.publish(master_data, timeout):
        if not publication.ok:
            errors = "; ".join(error_lines(publication.errors))
            problems.append(f"master data {publication.message.key}: {publication.outcome} {errors}".rstrip())
    return problems


async def _follow(erp: ErpSimulator, fleet: DeviceFleet, progress: Progress, timeout: float) -> None:
    """Show the orders until all have come to an end, the time is over, or the fleet has failed."""

    async def watch_orders() -> None:
        async for order in erp.changes():
            progress.changed(order, time.monotonic())

    watching = {asyncio.create_task(watch_orders()), asyncio.create_task(fleet.wait())}
    try:
        with progress:
            done, _ = await asyncio.wait(watching, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
