"""A shop on all services of an activation: an order, devices that do what a test says, and the recount at the end."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from libs.contracts import catalog, devices, erp, execution, projects
from libs.contracts.base import Message
from libs.devkit.counting import Claim, LinePlan, Mismatch, RecipePlan, recount
from libs.devkit.recount import read_execution
from libs.kernel.ids import project_id_of
from tests.stage import Stage, stage

AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
PROJECT = project_id_of("main", "A-1")
TYPES = ("saw", "press", "oven", "bench")

Does = Callable[[devices.TaskAssigned], Message | None]
"""What a device makes of an assignment; None: nothing, as far as this test is concerned."""

CHAIN: dict[int, tuple[int, ...]] = {1: (), 2: (1,), 3: (2,)}
DIAMOND: dict[int, tuple[int, ...]] = {1: (), 2: (1,), 3: (1,), 4: (2, 3)}


def recipe(shape: dict[int, tuple[int, ...]], **more: Any) -> catalog.PublishRecipe:
    """Step n is for the n-th device type."""
    steps = tuple(
        catalog.Step(
            step=step,
            name=TYPES[step - 1],
            device_type=TYPES[step - 1],
            expected_seconds=1,
            depends_on=depends_on,
            **more,
        )
        for step, depends_on in shape.items()
    )
    return catalog.PublishRecipe(recipe_code="BELL", name="Bell", steps=steps)


def said_of(task: devices.TaskAssigned, outcome: str = "GOOD", **more: Any) -> devices.TaskCompleted:
    ids = {name: getattr(task, name) for name in ("task_id", "fence", "device_id", "project_id")}
    return devices.TaskCompleted(**ids, at=AT, outcome=devices.Outcome(outcome), **more)


def task_id(number: int, step: int) -> str:
    return f"{PROJECT}/10/BELL/{number}/{step}"


class Shop:
    def __init__(self, built: Stage, mongodb: str, namespace: str, shape: dict[int, tuple[int, ...]]) -> None:
        self.stage, self._mongodb, self._namespace, self._shape = built, mongodb, namespace, shape
        self._seen: set[tuple[str, int]] = set()
        self.target = 0

    async def order(self, quantity: int) -> None:
        self.target = quantity
        lines = [{"line_id": "10", "recipe_code": "BELL", "quantity": quantity}]
        self.stage.put(erp.OrderRequested.model_validate({"order_id": "A-1", "revision": 1, "lines": lines}))
        await self.stage.run()

    async def put(self, *messages: Message) -> None:
        self.stage.put(*messages)
        await self.stage.run()

    def assigned(self) -> list[devices.TaskAssigned]:
        """What devices were given since they were last asked."""
        new = [each for each in self.all(devices.TaskAssigned) if (each.task_id, each.fence) not in self._seen]
        self._seen |= {(each.task_id, each.fence) for each in new}
        return new

    async def work(self, does: Does = said_of) -> None:
        """Devices do what they are given until nothing is given any more."""
        while tasks := self.assigned():
            self.stage.put(*[report for task in tasks if (report := does(task)) is not None])
            await self.stage.run()

    def all(self, cls: type[Any]) -> list[Any]:
        return self.stage.all(cls)

    def done(self, number: int) -> list[tuple[int, int]]:
        """Step and fence of everything that was given of an execution, in order."""
        given = [each for each in self.all(devices.TaskAssigned) if each.execution_number == number]
        return [(each.step, each.fence) for each in given]

    async def states(self, number: int) -> dict[int, str]:
        tasks = self.stage.database("execution")["tasks"].find({"execution": number})
        return {each["step"]: each["state"] async for each in tasks}

    async def task(self, number: int, step: int) -> dict[str, Any]:
        found: dict[str, Any] = await self.stage.database("execution")["tasks"].find_one({"_id": task_id(number, step)})
        return found

    async def ledger(self) -> list[dict[str, Any]]:
        return list(await self.stage.database("execution")["ledger"].find().sort("at", 1).to_list(None))

    async def counters(self) -> dict[str, int]:
        order = await self.stage.database("execution")["work_orders"].find_one({"_id": PROJECT})
        (line,) = order["lines"]
        (found,) = line["recipes"]
        names = ("planned", "begun", "good", "scrapped", "withdrawn")
        return {name: found[name] for name in names if found[name]}

    @property
    def told(self) -> erp.LineProgress:
        """The numbers that the ERP heard last."""
        answers = self.all(erp.OrderProgressed) + self.all(erp.OrderCompleted)
        return max(answers, key=lambda answer: answer.at).lines[0]  # type: ignore[no-any-return]

    async def recounted(self) -> tuple[Mismatch, ...]:
        """The order is complete; what the ledger and the tasks say otherwise than the ERP was told."""
        (completed,) = self.all(erp.OrderCompleted)
        (activated,) = self.all(erp.OrderActivated)
        (line,), (planned,) = completed.lines, activated.lines
        claim = Claim(
            planned.executions_planned,
            line.target_quantity,
            line.produced_quantity,
            line.executions_good,
            line.executions_scrapped,
            line.executions_in_work,
        )
        parts = (RecipePlan("BELL", 1, frozenset(self._shape)),)
        plan = LinePlan("A-1", PROJECT, "10", self.target, parts, claim)
        return recount([plan], *read_execution(self._mongodb, self._namespace, [PROJECT])).mismatches

    async def resume(self) -> None:
        await self.put(projects.ResumeProject(project_id=PROJECT))

    def ignored(self) -> list[str]:
        return [each.reason.value for each in self.all(execution.ReportIgnored)]


@asynccontextmanager
async def shop(
    backends: Iterable[str], namespace: str, shape: dict[int, tuple[int, ...]], *, slots: int = 2, **more: Any
) -> AsyncIterator[Shop]:
    """`more`: of the steps of the recipe, or settings."""
    kafka, mongodb, redis = backends
    of_steps = {name: more.pop(name) for name in ("pieces", "max_attempts", "on_exhausted") if name in more}
    async with stage(kafka, mongodb, redis, namespace, retry_seconds=0, **more) as built:
        built.put(*(catalog.PublishDeviceType(device_type=name, name=name) for name in TYPES))
        built.put(recipe(shape, **of_steps))
        built.put(*(devices.DeviceOnline(device_id=f"{name}-1", device_type=name, slots=slots) for name in TYPES))
        await built.run()
        yield Shop(built, mongodb, namespace, shape)
