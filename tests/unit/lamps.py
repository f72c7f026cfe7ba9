"""Orders of lamps in all services: what each of them has to say about them, counted again."""

import json
from collections.abc import Mapping
from typing import Any

from libs.contracts import catalog, erp, execution
from libs.devkit.counting import Claim, LedgerEntry, LinePlan, RecipePlan, TaskEntry, recount
from libs.kernel.ids import project_id_of
from services.insight.routes import observed_topics
from tests.stage_in_memory import StageInMemory
from tests.unit.projects.participants import BELL

STEPS = {"BELL": {1, 2}, "FOOT": {1, 2, 3}}
BEFORE = {("BELL", 2): {1}, ("FOOT", 3): {1, 2}}
"""The steps that have to be done before a step."""
RECIPES = {"BELL": 2, "FOOT": 1}
"""How many a lamp takes."""


def ordered(order_id: str, quantity: int, revision: int = 1) -> erp.OrderRequested:
    lines = [{"line_id": "10", "product_code": "LAMP", "quantity": quantity}]
    return erp.OrderRequested.model_validate({"order_id": order_id, "revision": revision, "lines": lines})


def bell(force: int) -> catalog.PublishRecipe:
    """Another version of the recipe, with other parameters."""
    content = json.loads(BELL.content)
    content["steps"][0]["parameters"] = {"force_kn": force}
    return catalog.PublishRecipe.model_validate({"recipe_code": "BELL", **content})


def all_said(stage: StageInMemory, cls: type[Any] | tuple[type[Any], ...]) -> list[Any]:
    """Messages of a class, in order; the same id twice is one message."""
    told = {each.envelope.id: each.message for each in stage.said}
    return [message for message in told.values() if isinstance(message, cls)]


def recounted(stage: StageInMemory, order_id: str) -> list[str]:
    """What ledger and tasks say otherwise than the ERP was told of an order that is complete."""
    [completed] = (each for each in all_said(stage, erp.OrderCompleted) if each.order_id == order_id)
    [line] = completed.lines
    planned = line.target_quantity * sum(RECIPES.values())
    claim = Claim(executions_planned=planned, **line.model_dump(exclude={"line_id"}))
    recipes = tuple(RecipePlan(code, quantity, frozenset(STEPS[code])) for code, quantity in RECIPES.items())
    project = project_id_of("main", order_id)
    plan = LinePlan(order_id, project, "10", line.target_quantity, recipes, claim)
    facts = [_entry(fact) for fact in stage.ledger.facts.rows.values() if fact["project_id"] == project]
    tasks = [
        TaskEntry(task.project_id, task.line_id, task.recipe_code, task.execution, task.step, task.state.value)
        for task, _, _ in stage.tasks.rows.rows.values()
        if task.project_id == project
    ]
    return [str(each) for each in recount([plan], facts, tasks).mismatches]


def _entry(fact: Mapping[str, Any]) -> LedgerEntry:
    known = {name: fact[name] for name in LedgerEntry.__slots__ if name in fact}
    voids = tuple((each["step"], each["fence"]) for each in fact.get("voids", ()))
    return LedgerEntry(**known | {"id": fact["_id"], "voids": voids})


async def agree(stage: StageInMemory, *order_ids: str) -> None:
    """Nothing is left in an outbox, insight has every event once, and the gateway the numbers that execution told."""
    assert await stage.unpublished() == []
    observed = {topic.name for topic in observed_topics()}
    told = {f"{e.envelope.site}/{e.topic}/{e.envelope.id}": e.message for e in stage.said if e.topic in observed}
    kept = stage.events.events.rows
    assert {id_: type(told[id_]).model_validate_json(event.data) for id_, event in kept.items()} == told
    for order_id in order_ids:
        numbers = execution.WorkOrderProgressed, execution.WorkOrderCompleted
        [*_, last] = (each for each in all_said(stage, numbers) if each.order_id == order_id)
        view = await stage.read.projects.get("main", project_id_of("main", order_id))
        assert view is not None
        assert view.progress == last.lines
