"""The `factory` command line."""

import importlib
import importlib.metadata
import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from libs.devkit.backends import BackendError, Choice
from libs.devkit.detach import DetachError, down_supervisor, up_detached
from libs.devkit.service import service_names
from libs.devkit.state import AlreadyRunningError, State, StateFile, default_home
from libs.devkit.supervisor import Factory, InterruptedStart, NotReadyError, hide_password

NOT_READY = 1
NOT_RUNNING = 3  # as systemctl says it
INTERRUPTED = 130  # as shells say it

# Commands that live elsewhere, imported when they are used: `factory status` should not wait for a Kafka client.
ELSEWHERE = {
    "demo": "libs.devkit.demo:demo",
    "dlq": "libs.devkit.dead_letters:app",
    "simulate": "libs.devkit.simulators.commands:app",
}


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *ELSEWHERE]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = ELSEWHERE[cmd_name].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            command: Any = typer.main.get_group(found)
        else:
            single = typer.Typer(add_completion=False)
            single.command()(found)
            command = typer.main.get_command(single)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    help="Run a Smart Factory on this machine: its backends, its services, its simulators.",
    epilog="Data, logs and state are kept in .factory, or in the folder that FACTORY_HOME names.",
)

Kafka = Annotated[
    str, typer.Option(envvar="KAFKA", help="embedded, apache, docker, real (docker, else apache) or host:port")
]
MongoDB = Annotated[str, typer.Option(envvar="MONGODB", help="embedded, docker or mongodb://…")]
Redis = Annotated[str, typer.Option(envvar="REDIS", help="embedded, docker or redis://…")]


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="return when all is ready, and leave it running")
    ] = False,
    services: Annotated[str, typer.Option(help="only these, separated by commas; all by default")] = "",
    timeout: Annotated[float, typer.Option(min=1, help="seconds to wait until all is ready")] = 120.0,
    namespace: Annotated[
        str, typer.Option(envvar="FACTORY_NAMESPACE", help="prefix of topics, groups and databases")
    ] = "",
    kafka: Kafka = "embedded",
    mongodb: MongoDB = "embedded",
    redis: Redis = "embedded",
) -> None:
    """Start the backends and all services, wait until they are ready, keep them running.

    A service that dies is started again. Ctrl-C, SIGTERM and `factory down` stop everything, in order.
    Exit code 1 when something cannot be started or is not ready in time.
    """
    if detach:
        options = {"services": services, "timeout": timeout, "namespace": namespace}
        options |= {"kafka": kafka, "mongodb": mongodb, "redis": redis}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        up_detached(["up", *arguments], default_home(), print)
        return
    factory = Factory(
        choice=Choice(kafka, mongodb, redis),
        services=_chosen(services),
        namespace=namespace,
        tell=lambda line: print(f"{time.strftime('%H:%M:%S')} {line}", flush=True),
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: threading.Thread(target=factory.interrupt).start())
    _run(factory, timeout)


def _chosen(services: str) -> list[str]:
    existing = service_names()
    if not existing:
        raise typer.BadParameter("there are no services in the package `services`")
    chosen = [name.strip() for name in services.split(",") if name.strip()] or existing
    if unknown := sorted(set(chosen) - set(existing)):
        raise typer.BadParameter(f"no such service: {', '.join(unknown)}; there are {', '.join(existing)}")
    return chosen


def _run(factory: Factory, timeout: float) -> None:
    console = Console()
    began = time.monotonic()
    factory.start()
    try:
        with console.status("starting") as spinner:
            factory.wait_ready(timeout, lambda reasons: spinner.update(_waiting_for(reasons)))
        factory.announce(_where_to_look(factory, time.monotonic() - began))
        factory.wait_interrupted()
        print("stopping", flush=True)
    finally:
        factory.stop()


def _waiting_for(reasons: Mapping[str, str]) -> str:
    return f"waiting for {', '.join(reasons)}" if reasons else "all is ready"


def _where_to_look(factory: Factory, seconds: float) -> str:
    url = factory.gateway
    gateway = f"{url}/api/v1, documentation at {url}/docs" if url else "not started"
    return f"""\
ready after {seconds:.1f} s
  gateway   {gateway}
  kafka     {factory.kafka}
  mongodb   {hide_password(factory.mongodb)}
  redis     {hide_password(factory.redis)}
  logs      {factory.home / "logs"}
`factory status` shows the processes; Ctrl-C or `factory down` stops them."""


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="for programs: addresses and processes")] = False,
) -> None:
    """Show what runs, and where. Exit code 0 when all is ready, 1 when not yet, 3 when nothing runs."""
    state = StateFile(default_home()).read()
    if state is None or not state.alive:
        typer.echo(f"no factory is running in {default_home()}", err=True)
        raise typer.Exit(NOT_RUNNING)
    if state.status is None:
        typer.echo("the factory is starting its backends", err=True)
        raise typer.Exit(NOT_READY)
    if as_json:
        print(state.status.model_dump_json(indent=2))
    else:
        Console().print(_table(state))
    raise typer.Exit(0 if state.status.ready else NOT_READY)


def _table(state: State) -> Table:
    assert state.status is not None
    table = Table("process", "state", "ready", "pid", "restarts", "why not ready", title=state.status.gateway)
    for process in state.status.processes:
        ready = "[green]yes[/]" if process.ready else "[red]no[/]"
        pid = "" if process.pid is None else str(process.pid)
        why = state.reasons.get(process.name, "")
        table.add_row(process.name, process.state, ready, pid, str(process.restarts), why)
    return table


@app.command()
def down() -> None:
    """Stop the factory that runs here, and wait until it is gone."""
    if down_supervisor(default_home()):
        print("stopped")
    else:
        print(f"no factory is running in {default_home()}")


@app.command()
def version() -> None:
    """Print the version."""
    print(importlib.metadata.version("smart-factory"))


def main() -> None:
    """Run the command line; what goes wrong for a known reason is one message, no traceback."""
    try:
        app()
    except InterruptedStart:
        print("interrupted while starting; everything is stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except (AlreadyRunningError, BackendError, DetachError, NotReadyError) as error:
        print(f"factory: {error}", file=sys.stderr)
        sys.exit(1)
