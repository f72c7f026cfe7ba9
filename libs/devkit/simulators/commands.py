"""`factory simulate erp` and `factory simulate devices`: the simulators from the command line."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from libs.devkit.simulators.address import Address, Nowhere, locate
from libs.devkit.simulators.chance import Rates
from libs.devkit.simulators.display import Progress, show_publications, summary
from libs.devkit.simulators.erp import ErpSimulator
from libs.devkit.simulators.files import FLEET_FILE, SAMPLE, BadFile, Message, load, repeated
from libs.devkit.simulators.fleet import DeviceFleet
from libs.devkit.simulators.fleet_file import FleetPlan, load_fleet, parse_devices
from libs.devkit.simulators.kafka import NoKafka

app = typer.Typer(help="Clients of the factory to try it with: an ERP, and a fleet of devices.", no_args_is_help=True)

Kafka = Annotated[str | None, typer.Option(help="Kafka, host:port. Else FACTORY_KAFKA, else the factory running here.")]
Namespace = Annotated[str | None, typer.Option(help="Prefix of all topic names. Else FACTORY_NAMESPACE.")]
Site = Annotated[str | None, typer.Option(help="Site that the messages belong to.", show_default="main")]


@app.command()
def erp(
    path: Annotated[
        Path, typer.Argument(help="File or folder of messages.", show_default="the bicycle factory")
    ] = SAMPLE,
    kafka: Kafka = None,
    namespace: Namespace = None,
    site: Site = None,
    duplicate: Annotated[bool, typer.Option("--duplicate", help="Send every message three times.")] = False,
    master_data: Annotated[bool, typer.Option(help="Send device types, recipes and products first.")] = True,
    repeat: Annotated[int, typer.Option(min=1, help="Copies of each order, with ids that end in -1, -2, …")] = 1,
    follow: Annotated[bool, typer.Option(help="Stay until every order has come to an end.")] = True,
    timeout: Annotated[float | None, typer.Option(help="Seconds to follow at most.", show_default="no limit")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end, nothing else.")] = False,
) -> None:
    """Send master data and orders, and follow the orders to their end.

    Ends with 1 when something was rejected, failed, or did not come to its end in time.
    """
    address = _address(kafka, namespace)
    try:
        messages = repeated(load(path), repeat)
    except BadFile as error:
        raise typer.BadParameter(str(error)) from None
    if not master_data:
        messages = [message for message in messages if message.is_order]
    simulator = ErpSimulator(address, duplicate=duplicate, site=site)
    console = Console()
    raise SystemExit(_run(_erp(simulator, messages, follow, timeout, console, as_json)))


async def _erp(
    erp: ErpSimulator,
    messages: Sequence[Message],
    follow: bool,
    timeout: float | None,
    console: Console,
    as_json: bool,
) -> int:
    async with erp:
        publications = await erp.publish(messages)
        if not as_json:
            show_publications(console, publications)
        ok = all(publication.ok for publication in publications)
        if ok:
            erp.send_orders(messages)
            await erp.flush()
            if not as_json:
                console.print(f"sent {len(erp.orders)} orders")
            if follow:
                ok = await _follow(erp, timeout, Progress(console, erp.orders, quiet=as_json))
        if as_json:
            print(summary(publications, list(erp.orders.values()), ok))
    return 0 if ok else 1


async def _follow(erp: ErpSimulator, timeout: float | None, progress: Progress) -> bool:
    with progress, contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            async for order in erp.changes():
                progress.changed(order, time.monotonic())
    return erp.book.settled and not any(order.went_wrong for order in erp.orders.values())


@app.command()
def devices(
    plan: Annotated[
        str | None,
        typer.Option("--devices", help="type=count,type=count, or a JSON file.", show_default="the bicycle factory's"),
    ] = None,
    kafka: Kafka = None,
    namespace: Namespace = None,
    site: Site = None,
    speed: Annotated[float | None, typer.Option(min=0, help="Expected seconds are divided by it; 0: no time.")] = None,
    failure_rate: Annotated[float | None, typer.Option(min=0, max=1, help="Share of attempts that fail.")] = None,
    scrap_rate: Annotated[float | None, typer.Option(min=0, max=1, help="Share of attempts that give scrap.")] = None,
    duplicate_rate: Annotated[float | None, typer.Option(min=0, max=1, help="Share of reports sent twice.")] = None,
    seed: Annotated[int | None, typer.Option(help="Fixes which attempts fail or give scrap.")] = None,
    prefix: Annotated[str, typer.Option(help="Put before device ids, to tell fleets apart.")] = "",
) -> None:
    """Run simulated devices until Ctrl-C. What is not given here is as the fleet file says."""
    address = _address(kafka, namespace)
    try:
        fleet_plan = fleet_of(plan)
        rates = Rates(
            failure=fleet_plan.rates.failure if failure_rate is None else failure_rate,
            scrap=fleet_plan.rates.scrap if scrap_rate is None else scrap_rate,
            duplicate=fleet_plan.rates.duplicate if duplicate_rate is None else duplicate_rate,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    fleet = DeviceFleet(
        address,
        fleet_plan.devices(prefix),
        speed=fleet_plan.speed if speed is None else speed,
        rates=rates,
        seed=fleet_plan.seed if seed is None else seed,
        site=site,
    )
    raise SystemExit(_run(_devices(fleet, Console())))


def fleet_of(plan: str | None) -> FleetPlan:
    """The plan that `--devices` means: the sample's, a file's, or the short form's.

    Raises:
        BadFleet: it is none of these.
    """
    if plan is None:
        return load_fleet(SAMPLE / FLEET_FILE)
    if plan.endswith(".json"):
        return load_fleet(Path(plan))
    return parse_devices(plan)


async def _devices(fleet: DeviceFleet, console: Console) -> int:
    async with fleet:
        console.print(f"{len(fleet.stations.devices)} devices; Ctrl-C ends them", highlight=False)
        said = ""
        running = asyncio.create_task(fleet.wait())
        try:
            while not running.done():
                now = f"{fleet.online_count} online, {fleet.tally}"
                if now != said:
                    console.print(now, highlight=False, soft_wrap=True)
                    said = now
                await asyncio.wait([running], timeout=2.0)
            await running
        finally:
            running.cancel()
            console.print(f"stopped; {fleet.tally}", highlight=False, soft_wrap=True)
    return 0


def _address(kafka: str | None, namespace: str | None) -> Address:
    try:
        return locate(kafka, namespace)
    except Nowhere as error:
        raise typer.BadParameter(str(error)) from None


def _run(main: Coroutine[Any, Any, int]) -> int:
    """Run to the end, or to Ctrl-C or SIGTERM, which both let the simulator say goodbye."""

    async def stoppable() -> int:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await main

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it has to say, we say in one line
    try:
        return asyncio.run(stoppable())
    except asyncio.CancelledError:
        return 130
    except NoKafka as error:
        print(error)
        return 1
