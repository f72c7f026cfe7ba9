"""The messages of the outside contracts, field by field, as the contracts write them down.

What stands here was copied from the contracts by hand, not made from the models: a field that is renamed,
removed or turned from optional to required in a model breaks clients, and this test.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from libs.contracts import topics
from libs.contracts.base import Message, messages_on
from libs.contracts.topics import Topic


@dataclass(frozen=True)
class Optional:
    """A field that a sender may leave out, and what it then means."""

    meaning: Any = None


REQUIRED = None
"""A field that is always there."""

Fields = Mapping[str, Any]
"""By name: REQUIRED, an Optional, or the fields of the objects in a list."""

PROBLEMS: Fields = {"code": REQUIRED, "path": REQUIRED, "message": REQUIRED}
STEP: Fields = {
    "step": REQUIRED,
    "name": REQUIRED,
    "device_type": REQUIRED,
    "expected_seconds": REQUIRED,
    "depends_on": Optional(),
    "parameters": Optional({}),
    "max_attempts": Optional(3),
    "on_exhausted": Optional("HOLD"),
}
RECIPE: Fields = {"recipe_code": REQUIRED, "name": REQUIRED, "steps": STEP}
PRODUCT: Fields = {
    "product_code": REQUIRED,
    "name": REQUIRED,
    "recipes": {"recipe_code": REQUIRED, "quantity": REQUIRED},
}
DEVICE_TYPE: Fields = {"device_type": REQUIRED, "name": REQUIRED}
VERSION: Fields = {"version": REQUIRED, "content_hash": REQUIRED}
ANSWER: Fields = {"order_id": REQUIRED, "revision": REQUIRED, "project_id": REQUIRED, "at": REQUIRED}
NUMBERS: Fields = {
    **ANSWER,
    "lines": {
        "line_id": REQUIRED,
        "target_quantity": REQUIRED,
        "produced_quantity": REQUIRED,
        "executions_good": REQUIRED,
        "executions_scrapped": REQUIRED,
        "executions_in_work": REQUIRED,
    },
}
REPORT: Fields = {
    "task_id": REQUIRED,
    "fence": REQUIRED,
    "device_id": REQUIRED,
    "project_id": REQUIRED,
    "at": REQUIRED,
}

READ: dict[tuple[Topic, str], Fields] = {
    (topics.ERP_ORDERS, "erp.order.requested.v1"): {
        "order_id": REQUIRED,
        "revision": REQUIRED,
        "lines": {"line_id": REQUIRED, "product_code": Optional(), "recipe_code": Optional(), "quantity": REQUIRED},
        "priority": Optional("MEDIUM"),
        "deadline": Optional(),
        "auto_activate": Optional(True),
        "customer_ref": Optional(),
    },
    (topics.ERP_ORDERS, "erp.order.cancelled.v1"): {"order_id": REQUIRED, "revision": REQUIRED, "reason": REQUIRED},
    (topics.CATALOG_COMMANDS, "catalog.device-type.publish.v1"): DEVICE_TYPE,
    (topics.CATALOG_COMMANDS, "catalog.recipe.publish.v1"): RECIPE,
    (topics.CATALOG_COMMANDS, "catalog.product.publish.v1"): PRODUCT,
    (topics.CATALOG_COMMANDS, "catalog.recipe.retire.v1"): {"recipe_code": REQUIRED},
    (topics.CATALOG_COMMANDS, "catalog.product.retire.v1"): {"product_code": REQUIRED},
    (topics.DEVICES_STATUS, "device.online.v1"): {
        "device_id": REQUIRED,
        "device_type": REQUIRED,
        "slots": Optional(1),
        "name": Optional(),
    },
    (topics.DEVICES_STATUS, "device.heartbeat.v1"): {
        "device_id": REQUIRED,
        "leases": {"task_id": REQUIRED, "fence": REQUIRED},
    },
    (topics.DEVICES_STATUS, "device.state-changed.v1"): {
        "device_id": REQUIRED,
        "state": REQUIRED,
        "reason": Optional(),
    },
    (topics.DEVICES_REPORTS, "device.task.started.v1"): REPORT,
    (topics.DEVICES_REPORTS, "device.task.completed.v1"): {
        **REPORT,
        "outcome": Optional("GOOD"),
        "rework_from_step": Optional(),
        "started_at": Optional(),
        "measurements": Optional(),
        "reason": Optional(),
    },
    (topics.DEVICES_REPORTS, "device.task.failed.v1"): {**REPORT, "reason": REQUIRED, "retryable": Optional(True)},
}
"""What outsiders send and we read."""

WRITTEN: dict[tuple[Topic, str], Fields] = {
    (topics.ERP_ORDER_STATUS, "erp.order.accepted.v1"): ANSWER,
    (topics.ERP_ORDER_STATUS, "erp.order.rejected.v1"): {**ANSWER, "errors": PROBLEMS},
    (topics.ERP_ORDER_STATUS, "erp.order.activated.v1"): {
        **ANSWER,
        "lines": {"line_id": REQUIRED, "target_quantity": REQUIRED, "executions_planned": REQUIRED},
        "snapshots": {"kind": REQUIRED, "code": REQUIRED, "version": REQUIRED, "snapshot_id": REQUIRED},
    },
    (topics.ERP_ORDER_STATUS, "erp.order.activation-failed.v1"): {
        **ANSWER,
        "step": REQUIRED,
        "errors": PROBLEMS,
        "compensated": REQUIRED,
    },
    (topics.ERP_ORDER_STATUS, "erp.order.progressed.v1"): NUMBERS,
    (topics.ERP_ORDER_STATUS, "erp.order.completed.v1"): {
        **NUMBERS,
        "started_at": REQUIRED,
        "completed_at": REQUIRED,
    },
    (topics.ERP_ORDER_STATUS, "erp.order.cancelled.v1"): {**NUMBERS, "reason": REQUIRED},
    (topics.CATALOG_EVENTS, "catalog.recipe.published.v1"): {**RECIPE, **VERSION},
    (topics.CATALOG_EVENTS, "catalog.product.published.v1"): {**PRODUCT, **VERSION},
    (topics.CATALOG_EVENTS, "catalog.device-type.published.v1"): {**DEVICE_TYPE, **VERSION},
    (topics.CATALOG_EVENTS, "catalog.publication-rejected.v1"): {"code": REQUIRED, "errors": PROBLEMS},
    (topics.DEVICES_TASKS, "device.task.assigned.v1"): {
        "task_id": REQUIRED,
        "fence": REQUIRED,
        "lease_expires_at": REQUIRED,
        "device_id": REQUIRED,
        "device_type": REQUIRED,
        "project_id": REQUIRED,
        "order_id": REQUIRED,
        "line_id": REQUIRED,
        "recipe_code": REQUIRED,
        "recipe_snapshot_id": REQUIRED,
        "execution_number": REQUIRED,
        "step": REQUIRED,
        "name": REQUIRED,
        "parameters": REQUIRED,
        "expected_seconds": REQUIRED,
        "attempt": REQUIRED,
        "priority": REQUIRED,
    },
    (topics.DEVICES_TASKS, "device.task.revoked.v1"): {
        "task_id": REQUIRED,
        "fence": REQUIRED,
        "device_id": REQUIRED,
        "reason": REQUIRED,
    },
    (topics.EXECUTION_EVENTS, "execution.task.completed.v1"): {"task_id": REQUIRED, "fence": REQUIRED},
    (topics.EXECUTION_EVENTS, "execution.task.failed.v1"): {"task_id": REQUIRED, "fence": REQUIRED},
    (topics.EXECUTION_EVENTS, "execution.task.held.v1"): {"task_id": REQUIRED, "fence": REQUIRED},
    (topics.EXECUTION_EVENTS, "execution.report.ignored.v1"): {
        "task_id": REQUIRED,
        "fence": REQUIRED,
        "reason": REQUIRED,
    },
}
"""What we write and outsiders read."""

VALUES = {
    (topics.ERP_ORDERS, "erp.order.requested.v1", "priority"): {"LOW", "MEDIUM", "HIGH", "URGENT"},
    (topics.DEVICES_STATUS, "device.state-changed.v1", "state"): {"RUNNING", "IDLE", "DOWN", "MAINTENANCE", "OFFLINE"},
    (topics.DEVICES_REPORTS, "device.task.completed.v1", "outcome"): {"GOOD", "SCRAP", "REWORK"},
    (topics.EXECUTION_EVENTS, "execution.report.ignored.v1", "reason"): {
        "DUPLICATE",
        "STALE_FENCE",
        "UNKNOWN_TASK",
        "WRONG_DEVICE",
        "NOT_LEASED",
    },
}


def class_of(topic: Topic, type_: str) -> type[Message]:
    return messages_on(topic)[type_]


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a list's items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := model_in(part))), None)


def is_nullable(field: FieldInfo) -> bool:
    return get_origin(field.annotation) in (Union, UnionType) and type(None) in get_args(field.annotation)


def always_written(model: type[BaseModel], name: str) -> bool:
    """A null is left out, unless the class says that it is written."""
    return not is_nullable(model.model_fields[name]) or name in getattr(model, "SAID", ())


def each(table: Mapping[tuple[Topic, str], Fields]) -> Callable[[Any], Any]:
    return pytest.mark.parametrize(
        ("topic", "type_", "fields"),
        [(topic, type_, fields) for (topic, type_), fields in table.items()],
        ids=[f"{topic.name}-{type_}" for topic, type_ in table],
    )


def compare(model: type[BaseModel], fields: Fields, check: Callable[[type[BaseModel], str, Any], None]) -> None:
    for name, expected in fields.items():
        assert name in model.model_fields, f"{model.__name__} has no field {name}"
        check(model, name, expected)
        if isinstance(expected, Mapping):
            inner = model_in(model.model_fields[name].annotation)
            assert inner is not None, f"{model.__name__}.{name} is no list of objects"
            compare(inner, expected, check)


@each(READ)
def test_what_outsiders_send_is_read(topic: Topic, type_: str, fields: Fields) -> None:
    def check(model: type[BaseModel], name: str, expected: Any) -> None:
        field = model.model_fields[name]
        if isinstance(expected, Optional):
            assert not field.is_required(), f"{model.__name__}.{name} may be left out"
            assert field.get_default(call_default_factory=True) == expected.meaning

    def nothing_more_is_asked(model: type[BaseModel], fields: Fields) -> None:
        asked = {name for name, field in model.model_fields.items() if field.is_required()}
        assert asked <= fields.keys(), f"{model.__name__} asks for more than the contract: {asked - fields.keys()}"
        for name, expected in fields.items():
            if isinstance(expected, Mapping):
                inner = model_in(model.model_fields[name].annotation)
                assert inner is not None
                nothing_more_is_asked(inner, expected)

    cls = class_of(topic, type_)
    compare(cls, fields, check)
    nothing_more_is_asked(cls, fields)


@each(WRITTEN)
def test_what_outsiders_read_is_written(topic: Topic, type_: str, fields: Fields) -> None:
    def check(model: type[BaseModel], name: str, expected: Any) -> None:
        if not isinstance(expected, Optional):
            assert always_written(model, name), f"{model.__name__}.{name} has to be there always"

    compare(class_of(topic, type_), fields, check)


@each(READ | WRITTEN)
def test_the_example_shows_every_field_of_the_contract(
    topic: Topic, type_: str, fields: Fields, example_of: Callable[[type[Message]], Any]
) -> None:
    def shown(values: Any, fields: Fields) -> None:
        objects = values if isinstance(values, list) else [values]
        for name, expected in fields.items():
            inside = [value[name] for value in objects if name in value]
            assert inside, f"no {name} in the example"
            if isinstance(expected, Mapping):
                shown([item for items in inside for item in items], expected)

    shown(example_of(class_of(topic, type_)).data, fields)


@pytest.mark.parametrize(("where", "values"), VALUES.items(), ids=lambda part: "-".join(sorted(map(str, part)))[:60])
def test_words_are_those_of_the_contract(where: tuple[Topic, str, str], values: set[str]) -> None:
    topic, type_, name = where
    annotation = class_of(topic, type_).model_fields[name].annotation

    assert {str(value) for value in annotation} == values  # type: ignore[union-attr]


def test_every_message_on_a_topic_of_outsiders_is_in_the_contract() -> None:
    for table, outsiders in (
        (READ, (topics.ERP_ORDERS, topics.DEVICES_STATUS, topics.DEVICES_REPORTS)),
        (WRITTEN, (topics.ERP_ORDER_STATUS, topics.DEVICES_TASKS)),
    ):
        for topic in outsiders:
            assert set(messages_on(topic)) == {type_ for (of, type_) in table if of is topic}
