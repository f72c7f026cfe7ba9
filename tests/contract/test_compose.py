"""docker-compose.yml and the Dockerfile hold what they promise, as far as it can be told where no engine runs."""

import json
import re
from importlib import import_module
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml
from pydantic import AliasChoices

from libs.devkit.service import service_names
from libs.kernel.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()

OURS = service_names()
CONTAINERS: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
NAMES = sorted(CONTAINERS)


def stage(name: str) -> str:
    """The instructions of one stage of the Dockerfile, those of the stages it builds on first."""
    stages = {
        found["name"]: (found["base"], found["body"])
        for found in re.finditer(
            r"^FROM (?P<base>\S+) AS (?P<name>\S+)\n(?P<body>.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL
        )
    }
    base, body = stages[name]
    return (stage(base) if base in stages else "") + body


def settings_of(service: str) -> set[type[Settings]]:
    """The base, and what the service adds to it, if it does."""
    if find_spec(f"services.{service}.settings") is None:
        return {Settings}
    named = vars(import_module(f"services.{service}.settings")).values()
    return {Settings} | {each for each in named if isinstance(each, type) and issubclass(each, Settings)}


def known_settings() -> set[str]:
    """The environment variables that some service reads."""
    return {variable for name in OURS for each in settings_of(name) for variable in variables_of(each)}


def variables_of(settings: type[Settings]) -> set[str]:
    prefix = settings.model_config.get("env_prefix", "")
    found: set[str] = set()
    for name, field in settings.model_fields.items():
        match field.validation_alias:
            case str(alias):
                found.add(alias)
            case AliasChoices(choices=choices):
                found |= {choice for choice in choices if isinstance(choice, str)}
            case _:
                found.add(f"{prefix}{name}".upper())
    return found


def has_healthcheck(container: dict[str, Any]) -> bool:
    check = container.get("healthcheck", {})
    if "test" in check:
        return True
    return not check.get("disable") and "build" in container and "HEALTHCHECK" in stage(container["build"]["target"])


def test_it_follows_the_compose_specification() -> None:
    # check-jsonschema carries the schema that the Compose project publishes.
    vendored = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(vendored)).read_text())

    jsonschema.validate(yaml.safe_load(COMPOSE), schema, cls=jsonschema.Draft202012Validator)


def test_every_service_is_there_by_its_name() -> None:
    built = [each for each in NAMES if CONTAINERS[each].get("build", {}).get("target") == "service"]
    assert built == OURS, "docker-compose.yml has an entry for each service"
    for name in OURS:
        assert CONTAINERS[name]["command"] == [name]
        assert CONTAINERS[name]["build"] == {
            "context": ".",
            "dockerfile": "deploy/Dockerfile",
            "target": "service",
        }


def test_services_have_the_same_settings() -> None:
    first, *others = (CONTAINERS[name]["environment"] for name in OURS)

    assert {"FACTORY_KAFKA", "FACTORY_MONGODB", "FACTORY_REDIS"} <= first.keys()
    assert all(each == first for each in others)


def test_every_variable_is_one_that_a_service_reads() -> None:
    named = set(re.findall(r"\b(?:FACTORY|MONGO)_[A-Z_]+\b", COMPOSE + DOCKERFILE))

    assert named
    assert named <= known_settings()


def test_the_values_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in CONTAINERS["projects"]["environment"].items():
        if value is not None:
            monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)))

    made = [each() for name in OURS for each in settings_of(name)]
    assert len(made) > len(OURS)
    assert {each.kafka for each in made} == {"kafka:9092"}


def test_nothing_has_to_be_set() -> None:
    assert not re.findall(r"\$\{?\w+(?!\w|:-)", COMPOSE)


def test_ports_are_published_on_loopback_alone() -> None:
    published = {(name, port) for name in NAMES for port in CONTAINERS[name].get("ports", [])}

    assert {name for name, _ in published} >= {"gateway", "kafka", "mongodb"}
    assert [each for each in published if not re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", each[1])] == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_has_more_rights_than_it_needs(name: str) -> None:
    container = CONTAINERS[name]

    assert container.keys().isdisjoint({"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "user"})
    if "build" in container:
        assert container["cap_drop"] == ["ALL"]
        assert container["security_opt"] == ["no-new-privileges:true"]
        assert container["read_only"] is True


def test_data_is_in_named_volumes() -> None:
    declared = yaml.safe_load(COMPOSE)["volumes"]

    used = {volume.split(":")[0] for name in NAMES for volume in CONTAINERS[name].get("volumes", [])}

    assert used
    assert used == declared.keys()


WAITS = [
    pytest.param(name, other, how, id=f"{name} for {other}")
    for name in NAMES
    for other, how in CONTAINERS[name].get("depends_on", {}).items()
]


def test_every_service_waits_for_something() -> None:
    assert {wait.values[0] for wait in WAITS} >= set(OURS)


@pytest.mark.parametrize(("name", "other", "how"), WAITS)
def test_what_it_waits_for_can_come_true(name: str, other: str, how: dict[str, Any]) -> None:
    awaited = CONTAINERS[other]
    assert set(awaited.get("profiles", [])) <= set(CONTAINERS[name].get("profiles", []))
    match how["condition"]:
        case "service_healthy":
            assert has_healthcheck(awaited)
        case "service_completed_successfully":
            assert awaited["restart"] not in ("always", "unless-stopped")
        case condition:
            assert condition == "service_started"


@pytest.mark.parametrize("name", NAMES)
def test_what_stays_is_checked(name: str) -> None:
    container = CONTAINERS[name]
    stays = container["restart"] == "unless-stopped"

    assert has_healthcheck(container) is stays


def test_simulators_come_only_when_asked_for() -> None:
    simulators = {name for name in NAMES if name.startswith("simulate-")}

    assert simulators == {"simulate-erp", "simulate-devices"}
    assert {name for name in NAMES if CONTAINERS[name].get("profiles") == ["simulators"]} == simulators
    # What only a client may know: where Kafka is, and which factory on it.
    for name in simulators:
        assert CONTAINERS[name]["environment"].keys() == {"FACTORY_KAFKA", "FACTORY_NAMESPACE"}


def test_kafka_is_the_one_that_the_tests_run_on() -> None:
    pom = ElementTree.parse(ROOT / "deploy" / "kafka" / "pom.xml")
    version = pom.findtext(".//{*}properties/{*}kafka.version")

    assert CONTAINERS["kafka"]["image"] == f"apache/kafka:{version}"


@pytest.mark.parametrize("name", ["service", "devkit"])
def test_the_image_does_not_run_as_root(name: str) -> None:
    (user,) = re.findall(r"^USER (\d+):\d+$", stage(name), re.MULTILINE)

    assert int(user) >= 10_000


def test_the_image_is_built_from_what_the_context_lets_in() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }

    assert copied == allowed
    assert [source for source in sorted(copied) if not (ROOT / source).exists()] == []
