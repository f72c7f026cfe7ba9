"""`factory dlq`: what could not be read or applied, why, and another try once the cause is gone."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from libs.contracts.dead_letters import DeadLetter
from libs.devkit.dead_letter_box import dead_letters, replay
from libs.devkit.simulators.address import Address, Nowhere, locate
from libs.devkit.simulators.kafka import NoKafka

T = TypeVar("T")

NOT_FOUND = 1

LONGEST_PART = 500
"""Characters of an offending part that are shown; the whole value follows."""


app = typer.Typer(help="Dead letters: list them, look at one, try them again.", no_args_is_help=True)

Kafka = Annotated[str | None, typer.Option(help="Kafka, host:port. Else FACTORY_KAFKA, else the factory running here.")]
Namespace = Annotated[str | None, typer.Option(help="Prefix of all topic names. Else FACTORY_NAMESPACE.")]
Topic = Annotated[str, typer.Argument(help="Topic that it came from, as `list` shows it.")]
Place = Annotated[str, typer.Argument(help="partition:offset of the dead letter, as `list` shows it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command("list")
def list_(
    topic: Annotated[str | None, typer.Option(help="Only those of this topic.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest ones, at most.")] = 50,
    as_json: AsJson = False,
    kafka: Kafka = None,
    namespace: Namespace = None,
) -> None:
    """List dead letters, oldest first."""
    letters = _run(dead_letters(_address(kafka, namespace), topic, newest=limit))
    if as_json:
        print(json.dumps([letter.as_json() for letter in letters], indent=2, ensure_ascii=False))
    elif letters:
        Console().print(_table(letters))
    else:
        print("no dead letters")


@app.command()
def show(topic: Topic, place: Place, as_json: AsJson = False, kafka: Kafka = None, namespace: Namespace = None) -> None:
    """Show one dead letter whole: why it is one, its headers, its stack and its value."""
    letter = _one(_run(dead_letters(_address(kafka, namespace), topic)), topic, place)
    document = letter.as_json(whole=True)
    if as_json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    problems, headers, stack, value = (document.pop(name) for name in ("problems", "headers", "stack", "value"))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for name, text in document.items():
        console.print(f"{name:9} {text}")
    for problem in problems:
        console.print(f"  {problem['path'] or 'the data'}: {problem['message']}")
        console.print(f"  there stands {json.dumps(problem['part'], ensure_ascii=False)[:LONGEST_PART]}")
    console.print("headers", *(f"  {name}: {text}" for name, text in headers.items()), sep="\n")
    console.print(
        "value", value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False), sep="\n"
    )
    console.print("stack", stack, sep="\n")


@app.command("replay")
def replay_(
    topic: Topic,
    place: Annotated[str | None, typer.Argument(help="partition:offset of one dead letter; else --all.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every dead letter of the topic, oldest first.")] = False,
    kafka: Kafka = None,
    namespace: Namespace = None,
) -> None:
    """Publish dead letters again, as they first came, on their own topic. Doing so twice does no harm."""
    if (place is None) != all_:
        raise typer.BadParameter("name one dead letter by its partition:offset, or give --all")
    address = _address(kafka, namespace)
    letters = _run(dead_letters(address, topic))
    if place is not None:
        letters = [_one(letters, topic, place)]
    _run(replay(address, letters))
    print(f"{len(letters)} published on {topic}")


def _one(letters: list[DeadLetter], topic: str, place: str) -> DeadLetter:
    for letter in letters:
        if letter.place == place:
            return letter
    typer.echo(f"no dead letter {place} of {topic}", err=True)
    raise typer.Exit(NOT_FOUND)


def _table(letters: list[DeadLetter]) -> Table:
    table = Table("topic", "place", "type", "id", "reason", "at")
    for letter in letters:
        reason = letter.why.get("reason", "")
        table.add_row(*map(escape, (letter.topic, letter.place, letter.type, letter.id, reason, letter.at)))
    return table


def _address(kafka: str | None, namespace: str | None) -> Address:
    try:
        return locate(kafka, namespace)
    except Nowhere as error:
        raise typer.BadParameter(str(error)) from None


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except NoKafka as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(NOT_FOUND) from None
