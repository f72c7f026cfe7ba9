"""The sagas as tables: activation, from PLANNING to ACTIVE or back without a trace, and rebase."""

from typing import Any

from libs.contracts import catalog, execution, snapshot, task_generation
from libs.contracts.base import jsonable
from libs.contracts.erp import SnapshotRef
from libs.saga import Definition, Definitions, Step
from libs.saga.definition import Context
from services.projects.domain.project import Project


def context_of(project: Project, window: int) -> dict[str, Any]:
    """What a saga needs of the order; its steps add what they learn."""
    return {
        "activation_id": project.activation_id,
        "project_id": project.id,
        "order_id": project.order_id,
        "priority": project.order.priority.value,
        "deadline": project.order.deadline,
        "ordered_at": project.ordered_at,
        "lines": [jsonable(line) for line in project.lines],
        "window": window,
    }


def order_lines(context: Context) -> dict[str, Any]:
    return {"lines": context["lines"]}


def learn_definitions(reply: catalog.OrderResolved) -> dict[str, Any]:
    return {
        "resolved": [jsonable(line) for line in reply.lines],
        "definitions": [jsonable(definition) for definition in reply.definitions],
    }


def definitions(context: Context) -> dict[str, Any]:
    return {"definitions": [catalog.Definition.in_text(each) for each in context["definitions"]]}


def learn_snapshots(reply: snapshot.SnapshotsFrozen) -> dict[str, Any]:
    return {"snapshots": [jsonable(ref) for ref in reply.snapshots]}


def work_order(context: Context) -> dict[str, Any]:
    """The order with everything that execution needs of its recipes."""
    order = {name: context[name] for name in ("order_id", "priority", "deadline", "ordered_at")}
    return order | routings_and_lines(context)


def routings_and_lines(context: Context) -> dict[str, Any]:
    ids = _recipe_snapshots(context)
    routings = tuple(
        execution.Routing(
            snapshot_id=ids[definition["code"]],
            recipe_code=definition["code"],
            steps=_steps(_recipe(definition)),
        )
        for definition in context["definitions"]
        if definition["kind"] == "recipe"
    )
    lines = tuple(
        execution.AdmittedLine(
            line_id=line["line_id"],
            target_quantity=line["target_quantity"],
            recipes=tuple(
                execution.AdmittedRecipe(**recipe, snapshot_id=ids[recipe["recipe_code"]]) for recipe in line["recipes"]
            ),
        )
        for line in context["resolved"]
    )
    return {"routings": routings, "lines": lines}


def learn_warnings(reply: execution.WorkOrderAdmitted) -> dict[str, Any]:
    return {"warnings": [jsonable(warning) for warning in reply.warnings]}


def first_windows(context: Context) -> dict[str, Any]:
    """The first window of every recipe of every line; execution asks for the rest when work runs low."""
    ids = _recipe_snapshots(context)
    first_steps = {
        definition["code"]: tuple(step.step for step in _steps(_recipe(definition)) if not step.depends_on)
        for definition in context["definitions"]
        if definition["kind"] == "recipe"
    }
    recipes = sum(len(line["recipes"]) for line in context["resolved"])
    # More than ten recipes share ten windows, so that the activation of an order of many lines stays bounded.
    window = max(1, min(context["window"], 10 * context["window"] // recipes))
    ranges = tuple(
        task_generation.ExecutionRange(
            line_id=line["line_id"],
            recipe_code=recipe["recipe_code"],
            snapshot_id=ids[recipe["recipe_code"]],
            first_steps=first_steps[recipe["recipe_code"]],
            first_execution=1,
            last_execution=min(line["target_quantity"] * recipe["quantity"], window),
        )
        for line in context["resolved"]
        for recipe in line["recipes"]
    )
    return {"generation_id": context["activation_id"], "ranges": ranges}


def _recipe_snapshots(context: Context) -> dict[str, str]:
    refs = [SnapshotRef.model_validate(ref) for ref in context["snapshots"]]
    return {ref.code: ref.snapshot_id for ref in refs if ref.kind == "recipe"}


def _steps(recipe: catalog.RecipeContent) -> tuple[execution.RoutingStep, ...]:
    """The steps with explicit predecessors; a step that names none follows the one listed before it."""
    steps: list[execution.RoutingStep] = []
    for step in recipe.steps:
        before = tuple(earlier.step for earlier in steps[-1:])
        depends_on = before if step.depends_on is None else step.depends_on
        steps.append(execution.RoutingStep(**step.model_dump(exclude={"depends_on"}), depends_on=depends_on))
    return tuple(steps)


def _recipe(stored: dict[str, Any]) -> catalog.RecipeContent:
    """The recipe in a stored definition, whose content a saga of an earlier release may hold as a JSON object."""
    return catalog.RecipeContent.model_validate_json(catalog.Definition.in_text(stored)["content"])


def rebased_routings(context: Context) -> dict[str, Any]:
    """What an activation would admit, for a work order that is already released."""
    return {"from_execution": context["from_execution"], **routings_and_lines(context)}


ACTIVATION = Definition(
    name="activation",
    version=1,
    steps=(
        Step(
            name="resolve",
            waiting="RESOLVING",
            command=catalog.ResolveOrder,
            carries=order_lines,
            success=catalog.OrderResolved,
            learns=learn_definitions,
            failure=catalog.OrderUnresolvable,
        ),
        Step(
            name="freeze",
            waiting="FREEZING",
            command=snapshot.FreezeSnapshots,
            carries=definitions,
            success=snapshot.SnapshotsFrozen,
            learns=learn_snapshots,
            failure=snapshot.SnapshotsRejected,
            undo=snapshot.ReleaseSnapshots,
            undone=snapshot.SnapshotsReleased,
        ),
        Step(
            name="admit",
            waiting="ADMITTING",
            command=execution.AdmitWorkOrder,
            carries=work_order,
            success=execution.WorkOrderAdmitted,
            learns=learn_warnings,
            failure=execution.WorkOrderRefused,
            undo=execution.WithdrawWorkOrder,
            undone=execution.WorkOrderWithdrawn,
        ),
        Step(
            name="generate",
            waiting="GENERATING",
            command=task_generation.GenerateTasks,
            carries=first_windows,
            success=execution.TasksStaged,
            failure=task_generation.TaskGenerationFailed,
            undo=task_generation.CancelGeneration,
            undone=task_generation.GenerationCancelled,
        ),
        Step(
            name="release",
            waiting="RELEASING",
            command=execution.ReleaseWorkOrder,
            success=execution.WorkOrderReleased,
        ),
    ),
)

REBASE = Definition(
    name="rebase",
    version=1,
    steps=(
        ACTIVATION.by_name["resolve"],
        ACTIVATION.by_name["freeze"],
        Step(
            name="rebase",
            waiting="REBASING",
            command=execution.RebaseWorkOrder,
            carries=rebased_routings,
            success=execution.WorkOrderRebased,
            learns=lambda reply: {"changes": [jsonable(change) for change in reply.changes]},
            failure=execution.WorkOrderRebaseRefused,
            insists=True,
        ),
    ),
)
"""A deliberate change of what a released order builds. Execution alone decides its last step, at once."""

DEFINITIONS = Definitions(ACTIVATION, REBASE)
"""Every table under which a saga may run. A change of rows is a new version; the old table stays in the list, so that
a saga goes on under the version that it began with."""
