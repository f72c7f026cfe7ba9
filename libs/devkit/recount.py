"""Counts again, from execution's ledger and tasks, what the factory told the ERP. A development tool, read-only.

It looks into MongoDB behind the back of the services, which no service may do, since a check that asked the services
would believe them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pymongo import MongoClient

from libs.devkit.counting import Claim, LedgerEntry, LinePlan, RecipePlan, Recount, TaskEntry, recount
from libs.devkit.simulators.files import Message
from libs.devkit.simulators.orders import Order, OrderState

_LEDGER = dict.fromkeys(set(LedgerEntry.__slots__) - {"id"}, 1)
_TASKS = {**dict.fromkeys(TaskEntry.__slots__, 1), "archived_as": 1, "_id": 0}


def recount_orders(
    orders: Iterable[Order], master_data: Sequence[Message], mongodb: str, namespace: str = ""
) -> Recount:
    """Count all `orders` again, as the ERP knows them, and compare; blocks while MongoDB is read.

    Raises:
        pymongo.errors.PyMongoError: the database cannot be read.
    """
    plans = [plan for order in orders for plan in line_plans(order, master_data)]
    ledger, tasks = read_execution(mongodb, namespace, sorted({plan.project_id for plan in plans}))
    return recount(plans, ledger, tasks)


def line_plans(order: Order, master_data: Sequence[Message]) -> list[LinePlan]:
    """What an order's lines should come to, going by the master data that was sent; the latest of each code counts.

    Raises:
        KeyError: the master data lacks a code that the order names.
    """
    steps: dict[str, frozenset[int]] = {}
    products: dict[str, list[tuple[str, int]]] = {}
    for message in master_data:
        if message.type == "catalog.recipe.publish.v1":
            steps[message.key] = frozenset(int(step["step"]) for step in message.data["steps"])
        elif message.type == "catalog.product.publish.v1":
            products[message.key] = [(one["recipe_code"], int(one["quantity"])) for one in message.data["recipes"]]

    def recipes(line: dict[str, Any]) -> tuple[RecipePlan, ...]:
        parts = products[line["product_code"]] if line.get("product_code") else [(line["recipe_code"], 1)]
        return tuple(RecipePlan(code, quantity, steps[code]) for code, quantity in parts)

    return [
        LinePlan(
            order.order_id,
            order.project_id or "",
            str(line["line_id"]),
            int(line["quantity"]),
            recipes(line),
            _claim(order, str(line["line_id"])),
        )
        for line in order.request["lines"]
    ]


def _claim(order: Order, line_id: str) -> Claim | None:
    line = order.lines.get(line_id)
    if line is None or order.state is not OrderState.COMPLETED:
        return None
    return Claim(
        line.executions_planned,
        line.target_quantity,
        line.produced_quantity,
        line.executions_good,
        line.executions_scrapped,
        line.executions_in_work,
    )


def read_execution(
    mongodb: str, namespace: str, project_ids: Sequence[str]
) -> tuple[list[LedgerEntry], list[TaskEntry]]:
    """The ledger and the tasks of these projects, on the shop floor and archived, all as of one moment."""
    name = f"{namespace}_factory_execution" if namespace else "factory_execution"
    if not project_ids:
        return [], []
    # By their ids: `/` and the character that follows it bound the range of each project.
    of_projects = {"$or": [{"_id": {"$gt": f"{id_}/", "$lt": f"{id_}0"}} for id_ in project_ids]}
    client: MongoClient[dict[str, Any]] = MongoClient(mongodb, serverSelectionTimeoutMS=5_000)
    with client, client.start_session(snapshot=True) as session:
        database = client[name]
        ledger = [_entry(found) for found in database["ledger"].find(of_projects, _LEDGER, session=session)]
        archived = {"_id": {"$in": list(project_ids)}, "archived_in": {"$type": "string"}}
        archives = database["work_orders"].distinct("archived_in", archived, session=session)
        tasks = [
            _task(found)
            for collection in ("tasks", *sorted(archives))
            for found in database[collection].find(of_projects, _TASKS, session=session)
        ]
    return ledger, tasks


def _task(found: dict[str, Any]) -> TaskEntry:
    """As it was left on the shop floor: whatever is still open in an archive is cancelled there."""
    state = found.pop("archived_as", None)
    return TaskEntry(**found if state is None else {**found, "state": state})


def _entry(found: dict[str, Any]) -> LedgerEntry:
    voids = tuple((each["step"], each["fence"]) for each in found.pop("voids", ()))
    return LedgerEntry(id=found.pop("_id"), voids=voids, **found)
