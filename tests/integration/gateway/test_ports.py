"""One behaviour of the ports, whichever adapter is behind them."""

import random
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from libs.contracts.base import Priority, Problem
from libs.contracts.devices import DeviceState
from libs.contracts.projects import ProjectState
from libs.kernel.errors import Busy
from libs.messaging.memory import MemoryStore
from libs.messaging.mongo import driver
from libs.messaging.mongo.store import MongoStore
from libs.messaging.store import Store
from libs.messaging.work import Work
from services.gateway.adapters.memory import (
    MemoryAnswers,
    MemoryCatalog,
    MemoryEquipment,
    MemoryOutcomes,
    MemoryProjects,
    MemorySentCommands,
    MemoryStaged,
)
from services.gateway.adapters.memory_assignments import MemoryAssignments
from services.gateway.adapters.memory_record import MemoryRecord
from services.gateway.adapters.mongo.answers import MongoAnswers
from services.gateway.adapters.mongo.assignments import MongoAssignments
from services.gateway.adapters.mongo.catalog import MongoCatalog
from services.gateway.adapters.mongo.commands import MongoOutcomes, MongoSentCommands
from services.gateway.adapters.mongo.equipment import MongoEquipment
from services.gateway.adapters.mongo.projects import MongoProjects
from services.gateway.adapters.mongo.record import MongoRecord
from services.gateway.adapters.mongo.staged import MongoStaged
from services.gateway.domain.activation import Activation, Batches, Side
from services.gateway.domain.assignments import Assignment
from services.gateway.domain.catalog import Item, Key, Kind, Version
from services.gateway.domain.equipment import Booking, Device, DeviceCalendar, Part, Told, TypeHold, View, view_of
from services.gateway.domain.equipment import Key as FloorKey
from services.gateway.domain.listing import Position as ProjectPosition
from services.gateway.domain.listing import ProjectFilter, ProjectSort, position_in
from services.gateway.domain.outcomes import Outcome, Result
from services.gateway.domain.projects import AskedOrder, Project, ProjectView, RebaseView
from services.gateway.domain.record import Entry, EntryKey, Moment
from services.gateway.ports import (
    Answers,
    Assignments,
    Catalog,
    Equipment,
    Outcomes,
    Passing,
    Place,
    Projects,
    Record,
    Remembered,
    SentCommands,
    Staged,
)
from tests.transactions import refused, rolled_back
from tests.unit.gateway.assigning import assigned, revoked
from tests.unit.gateway.equipment import (
    booked,
    calendar,
    cancelled,
    device,
    explained,
    tasks_listed,
    type_changed,
)
from tests.unit.gateway.world import sent

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ALL = ProjectFilter()


@dataclass
class Ports:
    store: Store
    catalog: Catalog
    projects: Projects
    staged: Staged
    outcomes: Outcomes
    sent: SentCommands
    equipment: Equipment
    answers: Answers
    record: Record
    assignments: Assignments

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        return self.store.transaction()


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def ports(request: pytest.FixtureRequest, mongodb: str) -> AsyncIterator[Ports]:
    if request.param == "memory":
        yield Ports(
            MemoryStore(),
            MemoryCatalog(),
            MemoryProjects(),
            MemoryStaged(),
            MemoryOutcomes(),
            MemorySentCommands(),
            MemoryEquipment(),
            MemoryAnswers(),
            MemoryRecord(),
            MemoryAssignments(),
        )
        return
    name: Literal["motor", "pymongo"] = request.param
    client = driver.connect(mongodb, name)
    database = client[f"t{uuid.uuid4().hex[:10]}_factory_gateway"]
    catalog, projects = MongoCatalog(database), MongoProjects(database)
    outcomes, sent = MongoOutcomes(database), MongoSentCommands(database)
    equipment, answers = MongoEquipment(database), MongoAnswers(database)
    staged, record = MongoStaged(database), MongoRecord(database)
    assignments = MongoAssignments(database)
    for each in (catalog, projects, outcomes, sent, equipment, answers, record, assignments):
        await each.prepare()
        await each.prepare()
    kept = (catalog, projects, staged, outcomes, sent, equipment, answers, record, assignments)
    yield Ports(MongoStore(client, database), *kept)
    await client.drop_database(database.name)
    closed: Any = client.close()
    if hasattr(closed, "__await__"):
        await closed


def item(code: str = "FRAME", site: str = "main", kind: Kind = Kind.RECIPE, number: int = 1) -> Item:
    return Item(
        site=site, kind=kind, code=code, name="Frame", version=number, content_hash="0", published_at=NOON, sequence=7
    )


def version(number: int, code: str = "FRAME", **content: Any) -> Version:
    return Version(
        site="main",
        kind=Kind.RECIPE,
        code=code,
        version=number,
        content_hash="0",
        published_at=NOON,
        content={
            "name": "Frame",
            "steps": [{"parameters": {"$set": {"a.b": 1, "": [None]}, "n": 2**53 - 1}}],
            **content,
        },
    )


def view(project_id: str, site: str = "main", created_at: datetime = NOON) -> ProjectView:
    project = Project(
        project_id=project_id,
        order_id="PO",
        revision=1,
        state=ProjectState.PLANNING,
        cause="ordered",
        priority=Priority.LOW,
        deadline=NOON,
        lines=(),
        errors=(Problem(code="A", path="b", message="c"),),
        created_at=created_at,
        changed_at=created_at,
    )
    return ProjectView(site=site, project=project, sequence=3)


class TestCatalog:
    async def save(self, ports: Ports, *items: Item, versions: tuple[Version, ...] = ()) -> None:
        async with ports.transaction() as transaction:
            await ports.catalog.save(Work(transaction, "/test", NOON), items, versions)

    async def test_what_is_saved_is_read_again(self, ports: Ports) -> None:
        await self.save(ports, item(), versions=(version(1), version(2)))

        assert await ports.catalog.get(item().key) == item()
        assert await ports.catalog.versions(item().key) == [version(2), version(1)]
        assert await ports.catalog.version(item().key, 1) == version(1)
        assert await ports.catalog.version(item().key, 3) is None
        async with ports.transaction() as transaction:
            other = Key("main", Kind.PRODUCT, "FRAME")
            found = await ports.catalog.load(Work(transaction, "/test", NOON), {item().key, other})
        assert found == {item().key: item()}

    async def test_items_are_replaced_and_versions_never(self, ports: Ports) -> None:
        await self.save(ports, item(), versions=(version(1),))
        await self.save(ports, item(number=2), versions=(version(1, name="another"), version(2)))

        assert await ports.catalog.get(item().key) == item(number=2)
        assert await ports.catalog.versions(item().key) == [version(2), version(1)]

    async def test_nothing_to_save_is_fine(self, ports: Ports) -> None:
        await self.save(ports)

        assert await ports.catalog.get(item().key) is None

    async def test_pages(self, ports: Ports) -> None:
        codes = ["a", "B", "b", "A1", "A-1", "A.1", "A"]
        await self.save(
            ports, *map(item, codes), item("Z", site="other"), item("Z", kind=Kind.PRODUCT), item("Z", site="main2")
        )

        seen: list[str] = []
        while page := await ports.catalog.page("main", Kind.RECIPE, seen[-1] if seen else None, 2):
            seen += [each.code for each in page]
        assert seen == sorted(codes)


class TestProjects:
    async def save(self, ports: Ports, *views: ProjectView) -> None:
        async with ports.transaction() as transaction:
            await ports.projects.save(Work(transaction, "/test", NOON), views)

    async def test_what_is_saved_is_read_again(self, ports: Ports) -> None:
        await self.save(ports, view("P"))
        newer = view("P").model_copy(update={"sequence": 4, "progressed_at": NOON})
        await self.save(ports, newer)

        assert await ports.projects.get("main", "P") == newer
        async with ports.transaction() as transaction:
            found = await ports.projects.load(Work(transaction, "/test", NOON), {("main", "P"), ("main", "Q")})
        assert found == {("main", "P"): newer}

    async def test_lists_go_without_rebases(self, ports: Ports) -> None:
        rebase = RebaseView(at=NOON, by="m.keller", reason="recall", changes=(), sequence=4)
        activation = Activation(activation_id="P:1", status="RUNNING", step="admit", since=NOON, attempt=1)
        full = view("P").model_copy(update={"rebases": (rebase,), "activation": activation, "activation_sequence": 2})
        await self.save(ports, full)

        assert await ports.projects.get("main", "P") == full
        assert await self.page(ports) == [full.model_copy(update={"rebases": ()})]

    async def test_sites_do_not_meet(self, ports: Ports) -> None:
        await self.save(ports, view("P"), view("P", site="other"))

        assert await ports.projects.get("third", "P") is None
        assert [each.site for each in await self.page(ports, "other")] == ["other"]

    async def page(
        self,
        ports: Ports,
        site: str = "main",
        wanted: ProjectFilter = ALL,
        sort: ProjectSort = ProjectSort.CREATED,
        after: ProjectPosition | None = None,
        limit: int = 9,
    ) -> Sequence[ProjectView]:
        return await ports.projects.page(site, wanted, sort, after, limit, NOON)

    async def test_pages_begin_with_the_newest(self, ports: Ports) -> None:
        expected = [(minute, name) for minute in (3, 2, 1) for name in "CBA"]
        await self.save(ports, *(view(f"{name}{m}", created_at=NOON + timedelta(minutes=m)) for m, name in expected))

        seen = await self.all_pages(ports, ALL, ProjectSort.CREATED, 2)
        assert [each.project_id for each in seen] == [f"{name}{minute}" for minute, name in expected]

    async def all_pages(self, ports: Ports, wanted: ProjectFilter, sort: ProjectSort, limit: int) -> list[Project]:
        seen: list[Project] = []
        while page := await self.page(
            ports, "main", wanted, sort, position_in(sort, seen[-1]) if seen else None, limit
        ):
            assert len(page) <= limit
            seen += [each.project for each in page]
        return seen

    @pytest.mark.parametrize("sort", ProjectSort)
    async def test_pages_in_every_order_under_every_filter(self, ports: Ports, sort: ProjectSort) -> None:
        draw = random.Random(7)
        projects = [_drawn(draw, n) for n in range(60)]
        await self.save(ports, *(ProjectView(site="main", project=project) for project in projects))
        await self.save(ports, ProjectView(site="other", project=projects[0]))
        late = ProjectFilter(late=True)
        found = {}
        for wanted in (ALL, *FILTERS):
            taken = [project for project in projects if wanted.takes(project, NOON)]
            taken.sort(key=lambda project: position_in(sort, project), reverse=sort.descending)
            for limit in (1, 7, 60):
                assert await self.all_pages(ports, wanted, sort, limit) == taken, (wanted, limit)
            found[wanted] = len(taken)
        assert all(found.values()), found
        assert found[late] + found[ProjectFilter(late=False)] == found[ALL] == 60


class TestRecord:
    def entry(self, id_: str, position: int = 1, cause: str | None = None, **fields: Any) -> Entry:
        told: dict[str, Any] = {"site": "main", "project_id": "P", "at": NOON, "type": "t", "text": id_} | fields
        return Entry(id=id_, position=position, correlation_id="c", causation_id=cause, **told)

    async def save(self, ports: Ports, *entries: Entry) -> None:
        async with ports.transaction() as transaction:
            await ports.record.save(Work(transaction, "/test", NOON), entries)

    async def test_what_is_saved_is_read_again(self, ports: Ports) -> None:
        data = {"$where": {"a.b": [1, {"": None}]}, "n": 2**53 - 1}
        first = self.entry("m-1", sequence=3, by="m.keller", trace_id="f" * 32, data=data)
        await self.save(ports)
        await self.save(ports, first, self.entry("m-2", 2, "m-1"))
        moved = self.entry("m-2", 7, "m-1")
        await self.save(ports, moved)

        assert await ports.record.page("main", "P", None, 9) == [first, moved]
        async with ports.transaction() as transaction:
            work = Work(transaction, "/test", NOON)
            assert await ports.record.load(work, ()) == {}
            found = await ports.record.load(work, {first.key, EntryKey("other", "m-1"), EntryKey("main", "m-9")})
            assert found == {first.key: first}
            assert await ports.record.effects(work, {first.key}) == [moved]
            assert await ports.record.effects(work, {EntryKey("other", "m-1"), moved.key}) == []

    async def test_the_last_position_of_a_moment(self, ports: Ports) -> None:
        await self.save(ports, *(self.entry(f"m-{n}", n) for n in (1000, 1001, 1999, 2000)))
        await self.save(ports, self.entry("x", 3005, site="other"), self.entry("y", 3006, project_id="Q"))
        moments = {Moment("main", "P", begins) for begins in (0, 1000, 2000, 3000)} | {Moment("other", "P", 3000)}

        async with ports.transaction() as transaction:
            work = Work(transaction, "/test", NOON)
            assert await ports.record.last_of(work, ()) == {}
            found = await ports.record.last_of(work, moments)
        assert {each[::2]: last for each, last in found.items()} == {
            ("main", 1000): 1999,
            ("main", 2000): 2000,
            ("other", 3000): 3005,
        }

    async def test_pages_in_both_directions(self, ports: Ports) -> None:
        entries = [self.entry(f"m-{n}", n // 3) for n in range(8)]
        others = self.entry("m-0", site="other"), self.entry("x", project_id="Q")
        await self.save(ports, *reversed(entries), *others)

        for newest_first in (False, True):
            seen: list[Entry] = []
            while page := await ports.record.page(
                "main", "P", Place(seen[-1].position, seen[-1].id) if seen else None, 2, newest_first=newest_first
            ):
                seen += page
            assert seen == (entries[::-1] if newest_first else entries)

    async def test_of_two_on_one_project_the_later_tries_again(self, ports: Ports) -> None:
        await self.save(ports, self.entry("m-0"))
        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON)
            await ports.record.load(late, {EntryKey("main", "m-1")})
            await self.save(ports, self.entry("m-1"), self.entry("m-3", project_id="Q"))
            await ports.record.save(late, [self.entry("m-2")])

        assert [each.id for each in await ports.record.page("main", "P", None, 9)] == ["m-0", "m-1"]


class TestStaged:
    def batches(self, side: Side, site: str = "main", **fields: Any) -> Batches:
        return Batches(site=site, project_id="P", activation_id="P:1", side=side, **fields)

    async def test_each_side_is_kept_apart(self, ports: Ports) -> None:
        planned, staged = self.batches(Side.PLANNED, planned=7), self.batches(Side.STAGED, planned=7, staged=2)
        other, newer = self.batches(Side.STAGED, "other", complete=True), staged.model_copy(update={"staged": 3})
        for kept in ((), (planned, staged, other), (newer,)):
            async with ports.transaction() as transaction:
                await ports.staged.save(Work(transaction, "/test", NOON), kept)

        assert await ports.staged.get("main", "P") == {Side.PLANNED: planned, Side.STAGED: newer}
        assert await ports.staged.get("main", "Q") == {}
        async with ports.transaction() as transaction:
            work = Work(transaction, "/test", NOON)
            assert await ports.staged.load(work, Side.PLANNED, ()) == {}
            found = await ports.staged.load(work, Side.STAGED, {("main", "P"), ("other", "P"), ("main", "Q")})
        assert found == {("main", "P"): newer, ("other", "P"): other}


def _drawn(draw: random.Random, n: int) -> Project:
    """A project that has much in common with others."""
    minutes = [timedelta(minutes=draw.randrange(3)) for _ in range(3)]
    return view(f"P{draw.randrange(10**6)}-{n}").project.model_copy(
        update={
            "order_id": f"{draw.choice(['PO', 'po', 'X.', 'X1'])}-{n}",
            "state": draw.choice(list(ProjectState)),
            "priority": draw.choice(list(Priority)),
            "deadline": draw.choice([None, NOON + minutes[0] - timedelta(minutes=1)]),
            "customer_ref": draw.choice([None, "Über-(1)", "über-(2)", "po"]),
            "created_at": NOON + minutes[1],
            "changed_at": NOON + minutes[2],
        }
    )


FILTERS = (
    ProjectFilter(states=frozenset({ProjectState.ACTIVE})),
    ProjectFilter(states=frozenset({ProjectState.ACTIVE, ProjectState.PAUSED, ProjectState.COMPLETED})),
    ProjectFilter(priorities=frozenset({Priority.HIGH, Priority.LOW})),
    ProjectFilter(states=frozenset({ProjectState.ACTIVE, ProjectState.COMPLETED}), late=True),
    ProjectFilter(late=True),
    ProjectFilter(late=False),
    ProjectFilter(text="pO"),
    ProjectFilter(text="x."),
    ProjectFilter(text="ÜBER-("),
    ProjectFilter(priorities=frozenset({Priority.HIGH}), late=False, text="PO"),
)


class TestOutcomes:
    async def save(self, ports: Ports, *outcomes: Outcome) -> None:
        async with ports.transaction() as transaction:
            await ports.outcomes.save(Work(transaction, "/test", NOON), outcomes)

    def outcome(self, result: Result, **fields: Any) -> Outcome:
        return Outcome(site="main", command_id="cmd-1", result=result, at=NOON, **fields)

    async def test_the_first_of_a_kind_stands(self, ports: Ports) -> None:
        first = self.outcome(Result.TAKEN, created=True, version=3)
        await self.save(ports, first)
        await self.save(ports, self.outcome(Result.TAKEN))

        assert await ports.outcomes.find("main", "cmd-1", (Result.TAKEN,)) == first

    async def test_found_in_the_order_asked_for(self, ports: Ports) -> None:
        taken, refused = self.outcome(Result.TAKEN), self.outcome(Result.REFUSED, errors=view("P").project.errors)
        await self.save(ports, taken, refused)

        assert await ports.outcomes.find("main", "cmd-1", (Result.ACTIVATED, Result.REFUSED, Result.TAKEN)) == refused
        assert await ports.outcomes.find("main", "cmd-1", (Result.TAKEN, Result.REFUSED)) == taken
        assert await ports.outcomes.find("main", "cmd-1", (Result.FAILED,)) is None
        assert await ports.outcomes.find("other", "cmd-1", (Result.TAKEN,)) is None
        assert await ports.outcomes.find("main", "cmd-2", (Result.TAKEN,)) is None

    async def test_several_are_found_at_once(self, ports: Ports) -> None:
        taken, refused = self.outcome(Result.TAKEN), self.outcome(Result.REFUSED)
        other = taken.model_copy(update={"command_id": "cmd-2"})
        await self.save(ports, taken, refused, other, other.model_copy(update={"command_id": "cmd-3"}))

        found = await ports.outcomes.find_all("main", {"cmd-1", "cmd-2", "cmd-4"}, (Result.REFUSED, Result.TAKEN))
        assert found == {"cmd-1": refused, "cmd-2": other}
        assert await ports.outcomes.find_all("other", {"cmd-1"}, (Result.TAKEN,)) == {}


class TestSentCommands:
    async def test_what_is_sent_is_found_again(self, ports: Ports) -> None:
        order = AskedOrder(order_id="PO-1", revision=2, fingerprint="f", body_hash="sha256:b")
        keyed, bare = sent("cmd-1", order=order), sent("cmd-2")
        assert await ports.sent.remember(keyed, "/p", "k", "a") == Remembered("cmd-1", "a")
        assert await ports.sent.remember(bare, "/p", None, "a") == Remembered("cmd-2", "a")

        assert await ports.sent.find("main", "cmd-1") == keyed
        assert await ports.sent.find("main", "cmd-2") == bare
        assert await ports.sent.find("other", "cmd-1") is None
        assert await ports.sent.find("main", "cmd-3") is None

    async def test_a_key_stands_for_the_command_it_was_first_used_for(self, ports: Ports) -> None:
        assert await ports.sent.remember(sent("cmd-1"), "/p", "k", "a") == Remembered("cmd-1", "a")
        assert await ports.sent.remember(sent("cmd-2"), "/p", "k", "b") == Remembered("cmd-1", "a")
        assert await ports.sent.find("main", "cmd-2") is None
        for n, (site, path, key) in enumerate((("other", "/p", "k"), ("main", "/q", "k"), ("main", "/p", "l")), 3):
            fresh = Remembered(f"cmd-{n}", "b")
            assert await ports.sent.remember(sent(fresh.command_id, site), path, key, "b") == fresh
            assert await ports.sent.find(site, fresh.command_id) == sent(fresh.command_id, site)

    async def test_without_keys_the_same_request_is_another_command(self, ports: Ports) -> None:
        for id_ in ("cmd-1", "cmd-2"):
            assert (await ports.sent.remember(sent(id_), "/p", None, "a")).command_id == id_


class TestFloor:
    async def save(self, ports: Ports, *views: View) -> None:
        async with ports.transaction() as transaction:
            await ports.equipment.save(Work(transaction, "/test", NOON), views)

    def view(self, event: Told, site: str = "main", sequence: int | None = 3) -> View:
        return view_of(site, event, sequence)

    async def test_what_is_saved_is_read_again(self, ports: Ports) -> None:
        properties: dict[str, Any] = {
            "laser.power": {"value": 6.5, "unit": "kW"},
            "axes": 5.0,
            "cooled": True,
            "material": "steel",
        }
        told: list[Told] = [
            device(properties=properties, groups=("HALL-1",)),
            type_changed(),
            booked("R-1"),
            cancelled("R-2"),
            calendar(),
        ]
        views = [self.view(each) for each in told]
        await self.save(ports, *(self.view(each, sequence=1) for each in (device(), booked("R-2"), calendar(False))))
        await self.save(ports, *views)

        async with ports.transaction() as transaction:
            work = Work(transaction, "/test", NOON)
            unknown = {FloorKey("main", part, ("X",)) for part in Part}
            assert await ports.equipment.load(work, ()) == {}
            assert await ports.equipment.load(work, {view.key for view in views} | unknown) == {v.key: v for v in views}
        found = (
            await ports.equipment.device("main", "W-1"),
            await ports.equipment.type_hold("main", "WELDER"),
            await ports.equipment.reservation("main", "W-1", "R-1"),
            await ports.equipment.reservation("main", "W-1", "R-2"),
            await ports.equipment.calendar("main", "W-1"),
        )
        assert [type(each) for each in found] == [Device, TypeHold, Booking, Booking, DeviceCalendar]
        assert all(content in dict(view).values() for content, view in zip(found, views, strict=True))

    async def test_sites_do_not_meet(self, ports: Ports) -> None:
        told: list[Told] = [device(), type_changed(), booked(), calendar()]
        await self.save(ports, *(self.view(each) for each in told))

        assert await ports.equipment.devices("other", None, None, None, 9) == []
        assert await ports.equipment.device("other", "W-1") is None
        assert await ports.equipment.type_hold("other", "WELDER") is None
        assert await ports.equipment.reservations("other", "W-1", NOON, None, 9) == []
        assert await ports.equipment.reservation("other", "W-1", "R-1") is None
        assert await ports.equipment.calendar("other", "W-1") is None

    async def test_pages_of_devices(self, ports: Ports) -> None:
        ids = ["a", "B", "b", "A1", "A-1", "A.1", "A"]
        down = [device(f"{id_}-down", state=DeviceState.DOWN) for id_ in ids]
        cutters = [device(f"{id_}-cutter", "CUTTER") for id_ in ids]
        await self.save(ports, *(self.view(each) for each in (*map(device, ids), *down, *cutters)))

        async def pages(device_type: str | None, state: DeviceState | None) -> list[str]:
            seen: list[str] = []
            while page := await ports.equipment.devices("main", device_type, state, seen[-1] if seen else None, 2):
                seen += [each.device_id for each in page]
            return seen

        names = {kind: [each.device_id for each in there] for kind, there in (("down", down), ("cutter", cutters))}
        assert await pages(None, None) == sorted([*ids, *names["down"], *names["cutter"]])
        assert await pages("WELDER", None) == sorted([*ids, *names["down"]])
        assert await pages(None, DeviceState.DOWN) == sorted(names["down"])
        assert await pages("WELDER", DeviceState.IDLE) == sorted(ids)

    async def test_pages_of_reservations(self, ports: Ports) -> None:
        told: list[Told] = [booked(f"R-{n}", hours=n, at=NOON) for n in (4, 1, 3, 0, 2)]
        told += [booked("over", hours=-1, at=NOON), cancelled("no", hours=2, at=NOON), booked("R-1", "W-2", at=NOON)]
        await self.save(ports, *(self.view(each) for each in told))

        seen: list[Passing] = []
        while page := await ports.equipment.reservations("main", "W-1", NOON, seen[-1] if seen else None, 2):
            seen += [Passing(each.to, each.reservation_id) for each in page]
        assert [each.reservation_id for each in seen] == ["R-0", "R-1", "R-2", "R-3", "R-4"]


class TestAnswers:
    async def test_by_question_and_site(self, ports: Ports) -> None:
        for site, state in (("main", "READY"), ("other", "HELD"), ("main", "RUNNING")):
            async with ports.transaction() as transaction:
                await ports.answers.save(Work(transaction, "/test", NOON), site, [("ask-1", explained(state))])

        assert await ports.answers.find("main", "ask-1") == explained("READY")
        assert await ports.answers.find("other", "ask-1") == explained("HELD")
        assert await ports.answers.find("main", "ask-2") is None

    async def test_answers_of_every_kind(self, ports: Ports) -> None:
        listed = tasks_listed("HELD", "READY", following="x")
        async with ports.transaction() as transaction:
            await ports.answers.save(Work(transaction, "/test", NOON), "main", [("ask-1", listed)])

        assert await ports.answers.find("main", "ask-1") == listed


class TestTransactions:
    async def test_a_rolled_back_one_leaves_nothing(self, ports: Ports) -> None:
        kept = item()
        async with ports.transaction() as transaction:
            await ports.catalog.save(Work(transaction, "/test", NOON), [kept], [version(1)])
        batches = Batches(site="main", project_id="P", activation_id="P:1", side=Side.STAGED)
        taken = Outcome(site="main", command_id="cmd-1", result=Result.TAKEN)

        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", NOON)
            await ports.catalog.save(work, [item(number=2)], [version(2)])
            await ports.projects.save(work, [view("P")])
            await ports.staged.save(work, [batches])
            await ports.equipment.save(work, [view_of("main", device(), 3)])
            await ports.outcomes.save(work, [taken])
            await ports.answers.save(work, "main", [("ask-1", explained("READY"))])

        assert (await ports.catalog.get(kept.key), await ports.catalog.versions(kept.key)) == (kept, [version(1)])
        assert await ports.projects.get("main", "P") is None
        assert await ports.staged.get("main", "P") == {}
        assert await ports.equipment.device("main", "W-1") is None
        assert await ports.outcomes.find("main", "cmd-1", (Result.TAKEN,)) is None
        assert await ports.answers.find("main", "ask-1") is None

    async def test_requests_see_nothing_before_the_commit(self, ports: Ports) -> None:
        async with ports.transaction() as transaction:
            work = Work(transaction, "/test", NOON)
            await ports.projects.save(work, [view("P")])

            assert await ports.projects.load(work, {("main", "P")}) == {("main", "P"): view("P")}
            assert await ports.projects.get("main", "P") is None
        assert await ports.projects.get("main", "P") == view("P")

    async def test_of_two_on_one_view_the_later_tries_again(self, ports: Ports) -> None:
        async with ports.transaction() as transaction:
            await ports.projects.save(Work(transaction, "/test", NOON), [view("P")])

        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON)
            await ports.projects.load(late, {("main", "P")})
            async with ports.transaction() as first:
                newer = view("P").model_copy(update={"sequence": 5})
                await ports.projects.save(Work(first, "/test", NOON), [newer])
            await ports.projects.save(late, [view("P").model_copy(update={"sequence": 4})])

        assert await ports.projects.get("main", "P") == newer


class TestAssignments:
    def assignment(self, task: int = 1, device: str = "W-1", site: str = "main", **fields: Any) -> Assignment:
        event = assigned(task, device=device)
        told = {"fence": 1, "open": True, "changed_at": NOON, "assigned": event} | fields
        return Assignment(site=site, device_id=device, task_id=event.task_id, **told)

    async def save(self, ports: Ports, *assignments: Assignment) -> None:
        async with ports.transaction() as transaction:
            await ports.assignments.save(Work(transaction, "/test", NOON), assignments)

    async def test_devices_are_introduced_once_and_for_all(self, ports: Ports) -> None:
        for site, device_id in (("main", "W-1"), ("main", "W-1"), ("north", "W-1"), ("main", "W-2")):
            await ports.assignments.introduce(site, device_id)

        assert await ports.assignments.speakers({"W-1", "W-3"}) == {("main", "W-1"), ("north", "W-1")}
        assert await ports.assignments.speakers(()) == set()

    async def test_found_by_task_whoever_has_it(self, ports: Ports) -> None:
        first, second = self.assignment(), self.assignment(device="W-2", fence=2)
        await self.save(ports, first, second, self.assignment(2), self.assignment(site="north"))

        async with ports.transaction() as transaction:
            found = await ports.assignments.of_tasks(Work(transaction, "/test", NOON), {("main", first.task_id)})
        assert sorted(found, key=lambda each: each.fence) == [first, second]

    async def test_a_device_is_shown_what_is_open_and_what_was_revoked_since(self, ports: Ports) -> None:
        old = self.assignment(3, open=False, assigned=None, revoked=revoked(3))
        new = old.model_copy(update={"task_id": "new", "changed_at": NOON + timedelta(minutes=1)})
        open_ = self.assignment(1)
        others = [self.assignment(1, "W-2"), self.assignment(2, open=False), self.assignment(4, site="north")]
        await self.save(ports, old, new, open_, *others)

        assert await ports.assignments.of_device("main", "W-1", None) == [open_]
        assert await ports.assignments.of_device("main", "W-1", NOON + timedelta(seconds=1)) == [open_, new]
        assert await ports.assignments.of_device("main", "W-1", NOON) == [open_, old, new]
        closed = open_.model_copy(update={"open": False})
        await self.save(ports, closed)
        assert await ports.assignments.of_device("main", "W-1", None) == []
