"""One order on a stage that many orders share, and what a test does to its activation."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from libs.contracts import catalog, erp, projects
from libs.contracts.base import Message
from libs.contracts.projects import ProjectState
from libs.kernel.clock import utc_now
from libs.kernel.ids import project_id_of
from libs.messaging.records import Cause, Record, encode
from services.projects.saga import ACTIVATION
from tests.harness import Said, said_of
from tests.leftovers import Leftovers
from tests.stage import Stage

COMMANDS = {step.name: step.command for step in ACTIVATION.steps}
UNDOS = {step.name: step.undo for step in ACTIVATION.steps if step.undo is not None}
STEPS, UNDONE = tuple(COMMANDS), tuple(UNDOS)
CAN_FAIL = tuple(step.name for step in ACTIVATION.steps if step.can_fail)

WINDOW = 4
"""Executions of a recipe that an activation generates at first: fewer than an order of three lamps needs of bells."""

MOST_EXECUTIONS, MOST_BATCHES = 1000, 3

SETTINGS = {"window": WINDOW, "max_executions": MOST_EXECUTIONS, "most_batches": MOST_BATCHES}

FIRST_TASKS = {f"10/BELL/{number}/1" for number in range(1, WINDOW + 1)} | {
    f"10/FOOT/{number}/{step}" for number in range(1, 4) for step in (1, 2)
}
"""Of three lamps, line 10: every first step of the first window. A lamp takes two bells and a foot."""


def master_data() -> list[Message]:
    types = ("press", "polisher", "saw", "lathe", "bench")

    def step(number: int, device_type: str, **more: Any) -> catalog.Step:
        return catalog.Step(step=number, name=device_type, device_type=device_type, expected_seconds=1, **more)

    recipes = (
        catalog.ProductRecipe(recipe_code="BELL", quantity=2),
        catalog.ProductRecipe(recipe_code="FOOT", quantity=1),
    )
    return [
        *(catalog.PublishDeviceType(device_type=name, name=name) for name in types),
        catalog.PublishRecipe(recipe_code="BELL", name="Bell", steps=(step(1, "press"), step(2, "polisher"))),
        catalog.PublishRecipe(
            recipe_code="FOOT",
            name="Foot",
            steps=(step(1, "saw"), step(2, "lathe", depends_on=()), step(3, "bench", depends_on=(1, 2))),
        ),
        catalog.PublishProduct(product_code="LAMP", name="Lamp", recipes=recipes),
    ]


class Activation:
    """The order `order_id` of the site main: three lamps unless told otherwise."""

    def __init__(self, stage: Stage, leftovers: Leftovers, order_id: str) -> None:
        self.stage = stage
        self.order_id = order_id
        self.project_id = project_id_of("main", order_id)
        self._leftovers = leftovers
        self.revision = 0

    # What the ERP and the operator do

    def ordered(self, *, quantity: int = 3, product: str = "LAMP", lines: Sequence[str] = ("10",)) -> None:
        """The order goes out, in its next revision."""
        self.revision += 1
        wanted = [{"line_id": line_id, "product_code": product, "quantity": quantity} for line_id in lines]
        order = {"order_id": self.order_id, "revision": self.revision, "lines": wanted}
        self.stage.put(erp.OrderRequested.model_validate(order))

    def cancelled(self) -> None:
        self.stage.put(erp.OrderCancelled(order_id=self.order_id, revision=self.revision, reason="lost"))

    def activated_by_an_operator(self) -> None:
        self.stage.put(projects.ActivateProject(project_id=self.project_id))

    def decided(self, decision: projects.UndoDecision) -> None:
        self.stage.put(projects.UnstickActivation(project_id=self.project_id, decision=decision))

    # The wire

    async def run(self) -> None:
        await self.stage.run()

    async def next(self, cls: type[Message]) -> Record:
        """Deliver everything before the next message of a class, and take that from the wire."""
        await self.stage.run(until=lambda message: isinstance(message, cls))
        return self.stage.wire.pop(0)

    async def deliver(self, record: Record) -> None:
        await self.stage.deliver(record)

    async def run_in_batches(self, *, until: type[Message] | None = None) -> None:
        """Deliver topic by topic, all that waits on one at once, as in a busy factory; stop when a class is there."""
        stage = self.stage
        while stage.wire:
            if until is not None and any(isinstance(said_of(record).message, until) for record in stage.wire):
                return
            await stage.deliver(*batch(stage))

    async def deadline(self) -> datetime:
        """Until when the saga waits for an answer."""
        deadline: datetime | None = (await self.saga())["deadline"]
        assert deadline is not None, "the saga has ended"
        return deadline

    async def silence(self, deadline: datetime | None = None) -> None:
        """Nobody answers until the saga's deadline has passed: that of now, or one that is given."""
        deadline = deadline or await self.deadline()
        await self.stage.tick("projects", "sagas", later=deadline - utc_now() + timedelta(seconds=1))

    async def lost(self, cls: type[Message], times: int = 1) -> list[str]:
        """The message is lost as often as it is sent; nobody answers; its ids."""
        ids = []
        for _ in range(times):
            ids.append(said_of(await self.next(cls)).envelope.id)
            await self.silence()
        return ids

    async def given_up(self, step: str) -> None:
        """The command of a step never arrives, until the saga turns back."""
        await self.lost(COMMANDS[step], ACTIVATION.by_name[step].tries)

    async def stuck(self, step: str, *, beyond: bool = False) -> None:
        """The order is cancelled at a step, and its undo (or, `beyond`, the confirmation of it) never arrives."""
        found = ACTIVATION.by_name[step]
        await self.next(found.success)
        self.cancelled()
        lost = found.undone if beyond else UNDOS[step]
        assert lost is not None
        await self.lost(lost)
        for _ in range(found.tries - 1):
            if beyond:
                await self.run()
            else:
                await self.next(lost)
            await self.silence()
        await self.run()

    # What is so

    @property
    def said(self) -> list[Said]:
        """Everything that was said of the order."""
        mine = {self.order_id, self.project_id}
        return [
            each
            for each in self.stage.said
            if mine & {getattr(each.message, "order_id", None), getattr(each.message, "project_id", None)}
        ]

    def all(self, cls: type[Any]) -> list[Any]:
        return [each.message for each in self.said if isinstance(each.message, cls)]

    @property
    def answers(self) -> list[str]:
        """What the ERP was told; the same id twice is one message."""
        told = {each.envelope.id: each.message for each in self.said if isinstance(each.message, erp.OrderAnswer)}
        return [type(message).__name__ for message in told.values()]

    async def project(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.stage.database("projects")["projects"].find_one({"_id": self.project_id})
        return found

    async def saga(self) -> dict[str, Any]:
        """The newest activation."""
        id_ = f"{self.project_id}:{(await self.project())['activations']}"
        found: dict[str, Any] = await self.stage.database("projects")["sagas"].find_one({"_id": id_})
        return found

    async def late(self) -> list[str]:
        """The types of late answers on record, in order."""
        return [entry["what"].removeprefix("late ") for entry in (await self.saga())["late"]]

    async def is_planned(self, step: str, *codes: str) -> None:
        """The activation failed at a step, the ERP was told why, and nothing is left of it."""
        project = await self.project()
        assert project["state"] == ProjectState.PLANNING
        failed = self.all(erp.OrderActivationFailed)[-1]
        assert (failed.step, failed.compensated) == (step, True)
        assert tuple(error.code for error in failed.errors) == codes
        self.left_nothing()

    async def is_cancelled(self) -> None:
        """Before it was released: nothing is left."""
        assert (await self.project())["state"] == ProjectState.CANCELLED
        assert self.answers.count("OrderCancellationConfirmed") == 1
        self.left_nothing()

    def left_nothing(self) -> None:
        left, unpublished = self._leftovers.of(self.project_id), self._leftovers.unpublished()
        assert left == [], left
        assert unpublished == {}, unpublished

    async def is_active(self, tasks: set[str] = FIRST_TASKS) -> None:
        """Released by its newest activation, with exactly these tasks, and what they need; of older ones nothing."""
        project = await self.project()
        assert project["state"] == ProjectState.ACTIVE
        current = f"{self.project_id}:{project['activations']}"
        await self._has_sagas(current)
        assert await self._tasks() == {f"{self.project_id}/{task}" for task in tasks}
        work_order = await self.stage.database("execution")["work_orders"].find_one({"_id": self.project_id})
        assert (work_order["state"], work_order["activation_id"]) == ("OPEN", current)
        assert "expires_at" not in work_order, "it would be forgotten while it is worked on"
        await self._has_snapshots(current)
        for service, collection in (("execution", "generations"), ("task_generation", "plans")):
            found = self.stage.database(service)[collection].find({"project_id": self.project_id})
            ids = [document["_id"].removeprefix("main/") async for document in found]
            assert ids == [current], f"{service}.{collection}"
        assert self._leftovers.unpublished() == {}

    async def _has_sagas(self, current: str) -> None:
        """The current one succeeded, all others are undone."""
        found = self.stage.database("projects")["sagas"].find({"context.project_id": self.project_id})
        sagas = {saga["_id"]: saga["status"] async for saga in found}
        assert sagas.pop(current) == "SUCCEEDED"
        assert set(sagas.values()) <= {"COMPENSATED"}

    async def _tasks(self) -> set[str]:
        """The ids of all tasks, every one of which waits for a device."""
        found = self.stage.database("execution")["tasks"].find({"project_id": self.project_id})
        tasks = [task async for task in found]
        assert {(task["state"], task["fence"], task["attempt"]) for task in tasks} <= {("READY", 0, 1)}
        return {task["_id"] for task in tasks}

    async def _has_snapshots(self, current: str) -> None:
        """The ERP, the project and the activation name the same ones, and every one of them exists."""
        told = {ref.snapshot_id for ref in self.all(erp.OrderActivated)[-1].snapshots}
        snapshots = self.stage.database("snapshot")
        found = snapshots["activations"].find({"project_id": self.project_id})
        references = {
            document["activation_id"]: {ref["snapshot_id"] for ref in document["references"]}
            async for document in found
        }
        assert references.pop(current) == told
        assert not any(references.values())
        assert {ref["snapshot_id"] for ref in (await self.project())["snapshots"]} == told
        assert await snapshots["snapshots"].count_documents({"snapshot_id": {"$in": sorted(told)}}) == len(told)

    async def activates_again(self) -> None:
        """An operator tries once more, and nothing of what went wrong is in the way."""
        self.activated_by_an_operator()
        await self.run()
        await self.is_active()


def under_a_new_id(record: Record) -> Record:
    """The same message again, but nobody can tell by its id."""
    return said_again(said_of(record))


def said_again(said: Said) -> Record:
    """Under a new id."""
    envelope = said.envelope
    cause = Cause(envelope.site, envelope.correlation_id, envelope.causation_id, envelope.traceparent)
    return encode(said.message, cause, envelope.source, sequence=envelope.sequence)


def batch(stage: Stage) -> list[Record]:
    """Take all that waits on the topic of the first record."""
    topic = stage.wire[0].topic
    found = [record for record in stage.wire if record.topic == topic]
    stage.wire = [record for record in stage.wire if record.topic != topic]
    return found
