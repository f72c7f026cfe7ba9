"""An order of lamps and bells, and what catalog, snapshot, task generation and execution answer to its activation."""

import json
from typing import Any

from libs.contracts import catalog, execution, snapshot, task_generation
from libs.contracts.base import Message, Problem
from libs.contracts.canonical import canonical_json
from libs.contracts.erp import SnapshotRef
from libs.saga import Definition
from services.projects.saga import ACTIVATION

IDS = {"activation_id": "A-1-0a1b:1", "project_id": "A-1-0a1b"}
WINDOW = 1000

CONTEXT: dict[str, Any] = {
    **IDS,
    "order_id": "A-1",
    "priority": "HIGH",
    "deadline": "2026-12-01T00:00:00Z",
    "ordered_at": "2026-11-21T08:00:00Z",
    "lines": [
        {"line_id": "10", "product_code": "LAMP", "quantity": 700},
        {"line_id": "20", "recipe_code": "BELL", "quantity": 3},
    ],
    "window": WINDOW,
}


def before(step: str, table: Definition = ACTIVATION) -> tuple[type[Message], ...]:
    """The successes after which a saga waits for the reply to the step."""
    return tuple(each.success for each in table.steps[: table.steps.index(table.by_name[step])])


def recipe(code: str, *steps: dict[str, Any], version: int) -> catalog.Definition:
    content = catalog.RecipeContent.model_validate({"name": code.title(), "steps": steps})
    return definition("recipe", code, version, content.model_dump(mode="json", exclude_none=True))


def definition(kind: str, code: str, version: int, content: dict[str, Any]) -> catalog.Definition:
    found = {"kind": kind, "code": code, "version": version, "content_hash": f"hash-{code}"}
    return catalog.Definition.model_validate(found | {"content": canonical_json(content)})


def step(number: int, device_type: str, **more: Any) -> dict[str, Any]:
    return {"step": number, "name": f"Step {number}", "device_type": device_type, "expected_seconds": 5, **more}


BELL = recipe("BELL", step(1, "press", parameters={"force_kn": 4}), step(2, "polisher"), version=4)
"""A chain."""

FOOT = recipe(
    "FOOT",
    step(1, "saw"),
    step(2, "lathe", depends_on=[]),
    step(3, "bench", depends_on=[1, 2], max_attempts=1, on_exhausted="FAIL"),
    version=1,
)
"""Two branches that join."""

LAMP_RECIPES = [{"recipe_code": "BELL", "quantity": 2}, {"recipe_code": "FOOT", "quantity": 1}]
LAMP = definition("product", "LAMP", 2, {"name": "Lamp", "recipes": LAMP_RECIPES})

DEFINITIONS = (LAMP, BELL, FOOT)

DEVICE_TYPES = ("press", "polisher", "saw", "lathe", "bench")
"""Those that the recipes need."""

SNAPSHOTS = tuple(
    SnapshotRef(kind=each.kind, code=each.code, version=each.version, snapshot_id=f"snapshot-{each.code}")
    for each in DEFINITIONS
)

PROBLEM = Problem(code="NO", path="", message="that cannot be")

SAID: dict[type[Message], dict[str, Any]] = {
    catalog.OrderResolved: {
        "lines": [
            {"line_id": "10", "target_quantity": 700, "recipes": LAMP_RECIPES},
            {"line_id": "20", "target_quantity": 3, "recipes": [{"recipe_code": "BELL", "quantity": 1}]},
        ],
        "definitions": DEFINITIONS,
    },
    catalog.OrderUnresolvable: {"errors": (PROBLEM,)},
    snapshot.SnapshotsFrozen: {"snapshots": SNAPSHOTS},
    snapshot.SnapshotsRejected: {"errors": (PROBLEM,)},
    execution.WorkOrderRefused: {"errors": (PROBLEM,)},
    execution.WorkOrderRebased: {"changes": ()},
    execution.WorkOrderRebaseRefused: {"errors": (PROBLEM,)},
    execution.TasksStaged: {"generation_id": IDS["activation_id"]},
    task_generation.TaskGenerationFailed: {"errors": (PROBLEM,)},
}
"""What answers carry beside the ids."""


def master_data() -> list[Message]:
    """What makes the catalog resolve an order of lamps: two bells and a foot each."""
    recipes = ({"recipe_code": each.code, **json.loads(each.content)} for each in (BELL, FOOT))
    lamp = {"product_code": LAMP.code, **json.loads(LAMP.content)}
    return [
        *(catalog.PublishDeviceType(device_type=each, name=each) for each in DEVICE_TYPES),
        *(catalog.PublishRecipe.model_validate(each) for each in recipes),
        catalog.PublishProduct.model_validate(lamp),
    ]


def answer(cls: type[Message]) -> Message:
    return cls(**IDS, **SAID.get(cls, {}))
