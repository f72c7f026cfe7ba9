"""What has to be written down twice is compared with its source, so that nobody has to remember it.

Examples of messages and their older versions: test_examples.py; messages of every topic: test_topic_table.py.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.contracts.topics import OUR_SOURCES, TOPICS
from libs.devkit import settings_table
from libs.devkit.service import service_names
from libs.devkit.settings_table import BEGIN, END, all_variables, settings_class, written_into
from services.projects.app import build
from services.projects.saga import DEFINITIONS

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")


def rows() -> set[tuple[str, str]]:
    """The table in the README: each environment variable with who reads it."""
    table = README.read_text().partition(BEGIN)[2].partition(END)[0]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines() if line]
    return {(variable.strip("`"), read_by) for variable, _, _, read_by in cells}


def read_from_the_environment(module: ast.Module) -> Iterator[str]:
    """The names of variables that a module looks up, as an argument, an index or the items of a loop."""
    nodes = list(ast.walk(module))
    if not {getattr(node, "attr", getattr(node, "arg", None)) for node in nodes} & {"environ", "getenv", "envvar"}:
        return
    for node in nodes:
        looked_up: list[ast.expr] = []
        if isinstance(node, ast.Call):
            looked_up = [*node.args[:1], *(each.value for each in node.keywords if each.arg == "envvar")]
        elif isinstance(node, ast.Subscript):
            looked_up = [node.slice]
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):
            looked_up = node.iter.elts
        for each in looked_up:
            if isinstance(each, ast.Constant) and NAME.fullmatch(str(each.value)):
                yield each.value


def test_importing_the_contracts_registers_the_messages_of_every_module() -> None:
    decorated = re.compile(r"^@message\(", re.MULTILINE)
    folder = ROOT / "libs" / "contracts"
    written = {path.stem for path in folder.glob("*.py") if decorated.search(path.read_text())}
    # In a fresh process: this one has imported every module, by way of the services and their tests.
    print_modules = (
        "import libs.contracts; from libs.contracts.base import all_messages;"
        "print(*{cls.__module__.rpartition('.')[2] for cls in all_messages().values()})"
    )
    run = subprocess.run([sys.executable, "-c", print_modules], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "execution" in written
    assert set(run.stdout.split()) == written


def test_every_topic_is_owned_by_a_service_that_there_is() -> None:
    services = set(service_names())

    assert {topic.name: topic.owner for topic in TOPICS if topic.owner not in services} == {}


def test_the_messages_of_every_service_are_known_as_ours() -> None:
    ours = {f"/{name}" for name in service_names()}

    assert ours == OUR_SOURCES, "name a service that owns no topic in topics.OWNERS_OF_NO_TOPIC"


def test_every_reply_of_every_saga_is_routed_and_every_command_announced() -> None:
    service = build()
    routed = {cls for subscription in service.subscriptions for cls in subscription.handlers}

    replies = {cls for classes in DEFINITIONS.replies.values() for cls in classes}
    assert sorted(cls.TYPE for cls in replies - routed) == []
    assert sorted(topic.name for topic in DEFINITIONS.commands if topic not in service.publishes) == []


def test_every_setting_of_every_service_stands_in_the_readme() -> None:
    documented = rows()
    missing = []
    for service in service_names():
        cls = settings_class(service)
        for field, info in cls.model_fields.items():
            alias = info.validation_alias
            variable = alias if isinstance(alias, str) else f"FACTORY_{field.upper()}"
            if not documented & {(variable, "every service"), (variable, f"`{service}`")}:
                missing.append(f"{variable} of {service}")

    assert missing == [], "run: python -m libs.devkit.settings_table README.md"


def test_every_setting_has_a_description_of_whole_sentences() -> None:
    classes = {settings_class(service) for service in service_names()}
    descriptions = {
        f"{cls.__name__}.{name}": info.description for cls in classes for name, info in cls.model_fields.items()
    }

    assert [name for name, text in descriptions.items() if not re.fullmatch(r"[A-Z].*\.", text or "")] == []


def test_every_variable_that_is_read_elsewhere_stands_in_the_readme() -> None:
    documented = {variable for variable, _ in rows()}
    read = {
        (name, str(path.relative_to(ROOT)))
        for folder in ("libs", "services")
        for path in (ROOT / folder).rglob("*.py")
        for name in read_from_the_environment(ast.parse(path.read_text()))
    }

    assert {"KAFKA", "FACTORY_HOME", "OTEL_TRACES_EXPORTER", "JAVA_HOME"} <= {name for name, _ in read}
    assert sorted(each for each in read if each[0] not in documented) == [], "add them to settings_table.ELSEWHERE"


def test_the_table_of_settings_in_the_readme_is_up_to_date() -> None:
    page = README.read_text()

    assert written_into(page) == page, "run: python -m libs.devkit.settings_table README.md"


def test_check_says_whether_the_table_of_settings_is_stale(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")

    assert settings_table.main(["--check", str(page)]) == 1
    assert settings_table.main([str(page)]) == 0
    assert settings_table.main(["--check", str(page)]) == 0
    assert settings_table.main([]) == 2
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert all(f"`{variable.name}`" in text for variable in all_variables())


def test_a_page_without_the_comments_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        written_into("a page")
