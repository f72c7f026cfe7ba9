"""`python -m libs.devkit.settings_table README.md`: write every environment variable that is read into a page.

The table stands between two comments; `--check` changes nothing and ends with 1 when it is stale. The settings come
from the services' own classes, which are found by name, since libraries import no service.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from libs.devkit.service import service_names
from libs.kernel.pages import between, run
from libs.kernel.settings import Settings

BEGIN = "<!-- settings: generated, see libs/devkit/settings_table.py -->"
END = "<!-- end of settings -->"

TRACED = "every service, for traces"
BY_SDK = "every service, by the OpenTelemetry SDK"


class Variable(NamedTuple):
    """One row: the environment variable, its default as a text, what it means with its unit, and who reads it."""

    name: str
    default: str
    meaning: str
    read_by: str


ELSEWHERE = (
    Variable("OTEL_TRACES_EXPORTER", "none", "Where spans go. One of `none`, `otlp`, `file`.", TRACED),
    Variable(
        "FACTORY_TRACE_FILE", "", "The file that spans are appended to, with `OTEL_TRACES_EXPORTER=file`.", TRACED
    ),
    Variable("OTEL_SDK_DISABLED", "false", "Whether no span is made at all. One of `true`, `false`.", TRACED),
    Variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "The protocol of OTLP; there is no other.", TRACED),
    Variable(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "http/protobuf",
        "The protocol of OTLP for traces; there is no other.",
        TRACED,
    ),
    Variable("OTEL_SPAN_LINK_COUNT_LIMIT", "1000", "The most links of one span.", TRACED),
    Variable("OTEL_BSP_MAX_QUEUE_SIZE", "32768", "The most spans that wait to be sent.", TRACED),
    Variable(
        "OTEL_BSP_SCHEDULE_DELAY",
        "1000",
        "The milliseconds between two sendings of spans; 200 is the default with `OTEL_TRACES_EXPORTER=file`.",
        TRACED,
    ),
    Variable(
        "OTEL_EXPORTER_OTLP_*",
        "",
        "The endpoint, headers and timeouts of OTLP; `OTEL_EXPORTER_OTLP_ENDPOINT` is `http://localhost:4318`"
        " unless it is set.",
        BY_SDK,
    ),
    Variable("OTEL_BSP_*", "", "How spans are batched.", BY_SDK),
    Variable("OTEL_TRACES_SAMPLER", "parentbased_always_on", "Which traces are recorded.", BY_SDK),
    Variable("OTEL_TRACES_SAMPLER_ARG", "", "The argument of the sampler, e.g. the share of traces.", BY_SDK),
    Variable("OTEL_SERVICE_NAME", "", "The name of the service in its spans; its own name unless it is set.", BY_SDK),
    Variable("OTEL_RESOURCE_ATTRIBUTES", "", "More attributes of every span, as name=value,name=value.", BY_SDK),
    Variable(
        "KAFKA",
        "embedded",
        "The broker to use or to start: `embedded`, `apache`, `docker`, `real` (`docker`, else `apache`) or host:port.",
        "`factory`, `make`, the tests",
    ),
    Variable(
        "MONGODB",
        "embedded",
        "The MongoDB to use or to start: `embedded`, `docker` or `mongodb://…`.",
        "`factory`, `make`, the tests",
    ),
    Variable(
        "REDIS",
        "embedded",
        "The Redis to use or to start: `embedded`, `docker` or `redis://…`.",
        "`factory`, `make`, the tests",
    ),
    Variable("FACTORY_HOME", ".factory", "The folder for data, logs and state.", "`factory`"),
    Variable(
        "FACTORY_KAFKA",
        "",
        "The Kafka of a factory that is not started here; unless it is set, the Kafka of the factory that runs here.",
        "the simulators, `factory demo --attach`",
    ),
    Variable(
        "FACTORY_MONGODB",
        "",
        "The MongoDB of a factory that is not started here, in which the demo recounts what was produced.",
        "`factory demo --attach`",
    ),
    Variable(
        "FACTORY_NAMESPACE",
        "",
        "The prefix of topics, consumer groups and databases in the factory that is started or reached.",
        "`factory`, the simulators",
    ),
    Variable(
        "JAVA_HOME", "", "The Java that runs Apache Kafka; unless it is set, `java` on the PATH.", "`KAFKA=apache`"
    ),
    Variable(
        "XDG_CACHE_HOME", "~/.cache", "The folder below which Apache Kafka is kept once fetched.", "`KAFKA=apache`"
    ),
)
"""What is read beside the settings classes: by the tracing library and the development tools."""


def settings_class(service: str) -> type[Settings]:
    """The settings that a service reads: the class in its `settings.py`, or the shared one where it has none."""
    if find_spec(f"services.{service}.settings") is None:
        return Settings
    module = import_module(f"services.{service}.settings")
    [own] = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Settings) and value.__module__ == module.__name__
    ]
    return own


def variables(cls: type[Settings], read_by: str) -> Iterator[Variable]:
    """The variables of a settings class, in the order of its fields."""
    prefix = cls.model_config.get("env_prefix", "")
    document = cls.model_json_schema()
    for name, field in cls.model_fields.items():
        alias = field.validation_alias
        given = alias if isinstance(alias, str) else name
        schema = document["properties"][given]
        default = schema["default"]
        yield Variable(
            name=alias if isinstance(alias, str) else f"{prefix}{name}".upper(),
            default=default if isinstance(default, str) else json.dumps(default),
            meaning=" ".join([field.description or "", *_allowed(schema, document)]).strip(),
            read_by=read_by,
        )


def _allowed(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    """A sentence on the values that a setting takes, where they are few or bounded."""
    definition = document.get("$defs", {}).get(str(schema.get("$ref", "")).rpartition("/")[2], {})
    if choices := schema.get("enum", definition.get("enum")):
        yield f"One of {', '.join(f'`{choice}`' for choice in choices)}."
    bounds = [
        f"{word} {schema[keyword]:,}"
        for keyword, word in (("minimum", "at least"), ("exclusiveMinimum", "more than"), ("maximum", "at most"))
        if keyword in schema
    ]
    if bounds:
        yield f"{', '.join(bounds).capitalize()}."


def all_variables() -> list[Variable]:
    """Every variable: the shared settings once, then each service's own, then what is read elsewhere."""
    shared = list(variables(Settings, "every service"))
    own = [
        variable._replace(read_by=f"`{service}`")
        for service in service_names()
        for variable in variables(settings_class(service), "every service")
        if variable not in shared
    ]
    return [*shared, *own, *ELSEWHERE]


def table() -> str:
    """The table, in Markdown."""
    lines = ["| variable | default | meaning | read by |", "|---|---|---|---|"]
    for variable in all_variables():
        default = f"`{variable.default}`" if variable.default else "none"
        meaning = variable.meaning.replace("|", "\\|")
        lines.append(f"| `{variable.name}` | {default} | {meaning} | {variable.read_by} |")
    return "\n".join(lines) + "\n"


def written_into(page: str) -> str:
    """The page with the current table between the comments.

    Raises:
        ValueError: the comments are not there.
    """
    return between(page, BEGIN, END, f"\n{table()}\n")


def main(arguments: Sequence[str]) -> int:
    return run("libs.devkit.settings_table", arguments, written_into)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
