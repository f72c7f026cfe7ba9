"""Given projects and sagas, when they are kept, then both adapters find them again, or forget them, in the same way."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts.base import Problem
from libs.contracts.erp import OrderRequested
from libs.kernel.errors import Busy
from libs.messaging.memory import MemoryStore
from libs.messaging.records import Cause
from libs.messaging.store import Store
from libs.messaging.work import Work
from libs.saga import Saga, SagaStatus, abort, start
from services.projects.adapters.memory import MemoryProjects, MemorySagas
from services.projects.adapters.mongo import MongoProjects, MongoSagas
from services.projects.domain.project import Project, Wish, new_project
from services.projects.ports import FORESTALLED, Projects, Sagas, StoredSaga
from services.projects.saga import ACTIVATION
from tests.integration.own_database import own_database, remove_expired
from tests.transactions import refused, rolled_back
from tests.unit.projects.participants import CONTEXT

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KEEP = timedelta(days=35)
CAUSE = Cause("main", "correlation", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


@dataclass
class Ports:
    store: Store
    projects: Projects
    sagas: Sagas
    remove_expired: Callable[[datetime], Awaitable[None]]
    """What the database does by itself as time passes; in memory nothing needs to be done."""

    @asynccontextmanager
    async def work(self, now: datetime = NOON) -> AsyncIterator[Work]:
        async with self.store.transaction() as transaction:
            yield Work(transaction, "/test", now)

    async def known(self, *ids: str) -> dict[str, Project]:
        async with self.work() as work:
            return await self.projects.load(work, ids)

    async def save(self, *projects: Project, cause: Cause = CAUSE) -> None:
        async with self.work() as work:
            await self.projects.save(work, projects, {project.id: cause for project in projects})

    async def forestalled(self, *ids: str, at: datetime = NOON) -> dict[str, int]:
        async with self.work(at) as work:
            return await self.projects.forestalled(work, ids)

    async def forestall(self, at: datetime = NOON, **revisions: int) -> None:
        async with self.work(at) as work:
            await self.projects.forestall(work, revisions)

    async def running(self, *ids: str, at: datetime = NOON) -> dict[str, StoredSaga]:
        async with self.work(at) as work:
            return await self.sagas.load(work, ids)

    async def save_sagas(self, *sagas: Saga, cause: Cause = CAUSE) -> None:
        async with self.work() as work:
            await self.sagas.save(work, [StoredSaga(saga, cause) for saga in sagas])


@pytest.fixture(params=["mongo", "memory"])
async def ports(request: pytest.FixtureRequest, mongodb: str) -> AsyncIterator[Ports]:
    if request.param == "memory":

        async def nothing(now: datetime) -> None:
            return None

        yield Ports(MemoryStore(), MemoryProjects(), MemorySagas(KEEP), nothing)
        return
    async with own_database(mongodb) as (store, database):
        projects, sagas = MongoProjects(database), MongoSagas(database, KEEP)
        for each in (projects, sagas):
            await each.prepare()
            await each.prepare()
        yield Ports(store, projects, sagas, lambda now: remove_expired(database, now))


def project(order_id: str = "A-1", site: str = "main", **fields: Any) -> Project:
    lines = [{"line_id": "10", "product_code": "LAMP", "quantity": 3}]
    order = OrderRequested.model_validate({"order_id": order_id, "revision": 1, "lines": lines})
    return new_project(order, Cause(site), NOON).model_copy(update=fields)


def saga(id_: str = "A-1:1", **fields: Any) -> Saga:
    begun, _ = start(ACTIVATION, id_, CONTEXT, NOON)
    return begun.model_copy(update=fields)


class TestProjects:
    async def test_what_is_saved_is_read_again(self, ports: Ports) -> None:
        problem = Problem(code="NO", path="lines[0]", message="that cannot be")
        wish = Wish(by="erp", revision=2, order=project().order, body_hash="b", cause=CAUSE.as_document(named=True))
        full = project(errors=(problem,), wish=wish, started_at=NOON, progress_due_at=NOON, work_sequence=4)

        await ports.save(full, project("A-2"))

        assert await ports.known(full.id, "unknown") == {full.id: full}
        assert await ports.known() == {}

    async def test_the_last_state_replaces_the_one_before(self, ports: Ports) -> None:
        newer = project(sequence=2)
        await ports.save(project(sequence=1), project("A-2"))

        await ports.save(newer)
        await ports.save()

        assert await ports.known(newer.id, project("A-2").id) == {newer.id: newer, project("A-2").id: project("A-2")}

    async def test_the_same_order_of_another_site_is_another_project(self, ports: Ports) -> None:
        await ports.save(project(site="main"))

        assert await ports.known(project(site="other").id) == {}

    async def test_a_transaction_sees_what_it_has_saved(self, ports: Ports) -> None:
        async with ports.work() as work:
            await ports.projects.save(work, [project()], {project().id: CAUSE})

            assert await ports.projects.load(work, [project().id]) == {project().id: project()}

    async def test_a_rolled_back_transaction_leaves_nothing(self, ports: Ports) -> None:
        due = project(progress_due_at=NOON)
        await ports.save(project("A-2"))

        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", NOON)
            await ports.projects.save(work, [due, project("A-2", sequence=9)], dict.fromkeys(ids(due, "A-2"), CAUSE))
            await ports.projects.forestall(work, {"P": 1})

        assert await ports.known(*ids(due, "A-2")) == {project("A-2").id: project("A-2")}
        assert await ports.forestalled("P") == {}
        async with ports.work() as work:
            assert await ports.projects.progress_due(work, 9) == []

    async def test_of_two_transactions_on_one_project_the_later_tries_again(self, ports: Ports) -> None:
        await ports.save(project())

        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON)
            await ports.projects.load(late, [project().id])
            await ports.save(project(sequence=5))
            await ports.projects.save(late, [project(sequence=6)], {project().id: CAUSE})

        assert (await ports.known(project().id))[project().id].sequence == 5


class TestForestalledOrders:
    async def test_the_highest_revision_is_remembered(self, ports: Ports) -> None:
        await ports.forestall(P=3, Q=1)
        await ports.forestall(P=2)
        await ports.forestall(Q=4)
        await ports.forestall()

        assert await ports.forestalled("P", "Q", "R") == {"P": 3, "Q": 4}
        assert await ports.forestalled() == {}

    async def test_for_a_day_and_no_longer(self, ports: Ports) -> None:
        await ports.forestall(P=3)

        assert await ports.forestalled("P", at=NOON + FORESTALLED - SECOND) == {"P": 3}
        assert await ports.forestalled("P", at=NOON + FORESTALLED) == {}

    async def test_a_revision_that_was_forgotten_does_not_come_back(self, ports: Ports) -> None:
        await ports.forestall(P=3)
        later = NOON + FORESTALLED
        await ports.remove_expired(later)

        await ports.forestall(P=1, at=later)

        assert await ports.forestalled("P", at=later) == {"P": 1}


class TestProgressDue:
    async def due(self, ports: Ports, now: datetime, limit: int = 9) -> list[str]:
        async with ports.work(now) as work:
            return [found.order_id for found, _ in await ports.projects.progress_due(work, limit)]

    async def test_what_is_due_oldest_first_and_no_more_than_the_limit(self, ports: Ports) -> None:
        for number in (3, 1, 4, 2):
            await ports.save(project(f"A-{number}", progress_due_at=NOON + number * SECOND))
        await ports.save(project("B"))

        assert await self.due(ports, NOON) == []
        assert await self.due(ports, NOON + 3 * SECOND) == ["A-1", "A-2", "A-3"]
        assert await self.due(ports, NOON + 9 * SECOND, limit=2) == ["A-1", "A-2"]

    async def test_what_was_sent_is_not_due_any_more(self, ports: Ports) -> None:
        await ports.save(project(progress_due_at=NOON))
        await ports.save(project(progress_due_at=None))

        assert await self.due(ports, NOON + SECOND) == []

    async def test_it_comes_with_whose_behalf_it_goes_out_on(self, ports: Ports) -> None:
        message = Cause("other", "correlation", "message", CAUSE.traceparent)
        await ports.save(project(progress_due_at=NOON), cause=message)

        async with ports.work() as work:
            [(found, cause)] = await ports.projects.progress_due(work, 9)

        assert found == project(progress_due_at=NOON)
        assert cause == Cause("other", "correlation", None, CAUSE.traceparent)


class TestSagas:
    async def test_what_is_saved_is_read_again(self, ports: Ports) -> None:
        turned, _ = abort(ACTIVATION, saga(step="admit"), (Problem(code="NO", path="", message="no"),), NOON)
        await ports.save_sagas(saga(), saga("A-1:2"))

        await ports.save_sagas(turned)
        await ports.save_sagas()

        assert await ports.running("A-1:1", "unknown") == {"A-1:1": StoredSaga(turned, CAUSE)}
        assert await ports.running() == {}

    async def test_the_site_is_that_of_the_cause(self, ports: Ports) -> None:
        await ports.save_sagas(saga(), cause=Cause("other", "c", "message"))

        assert (await ports.running("A-1:1"))["A-1:1"].cause == Cause("other", "c")

    async def test_a_rolled_back_transaction_leaves_nothing(self, ports: Ports) -> None:
        await ports.save_sagas(saga("A-1:2"))

        async with rolled_back(ports.store) as transaction:
            changed = [saga("A-1:1"), saga("A-1:2", attempt=3)]
            await ports.sagas.save(Work(transaction, "/test", NOON), [StoredSaga(each, CAUSE) for each in changed])

        assert await ports.running("A-1:1", "A-1:2") == {"A-1:2": StoredSaga(saga("A-1:2"), CAUSE)}

    @pytest.mark.parametrize("status", [SagaStatus.SUCCEEDED, SagaStatus.COMPENSATED])
    async def test_an_ended_one_is_forgotten_after_a_while(self, ports: Ports, status: SagaStatus) -> None:
        await ports.save_sagas(saga(status=status, deadline=None))

        await ports.remove_expired(NOON + KEEP - SECOND)
        assert list(await ports.running("A-1:1", at=NOON + KEEP - SECOND)) == ["A-1:1"]
        await ports.remove_expired(NOON + KEEP)
        assert await ports.running("A-1:1", at=NOON + KEEP) == {}

    @pytest.mark.parametrize("status", [SagaStatus.RUNNING, SagaStatus.COMPENSATING, SagaStatus.STUCK])
    async def test_one_that_is_not_over_is_never_forgotten(self, ports: Ports, status: SagaStatus) -> None:
        await ports.save_sagas(saga(status=SagaStatus.COMPENSATED))
        await ports.save_sagas(saga(status=status))
        later = NOON + 10 * KEEP

        await ports.remove_expired(later)

        assert list(await ports.running("A-1:1", at=later)) == ["A-1:1"]


class TestOverdueSagas:
    async def overdue(self, ports: Ports, now: datetime, limit: int = 9) -> list[str]:
        async with ports.work(now) as work:
            return [stored.saga.id for stored in await ports.sagas.overdue(work, limit)]

    async def test_oldest_first_and_no_more_than_the_limit(self, ports: Ports) -> None:
        await ports.save_sagas(*(saga(f"A:{number}", deadline=NOON + number * SECOND) for number in (3, 1, 4, 2)))

        assert await self.overdue(ports, NOON) == []
        assert await self.overdue(ports, NOON + 3 * SECOND) == ["A:1", "A:2", "A:3"]
        assert await self.overdue(ports, NOON + 9 * SECOND, limit=2) == ["A:1", "A:2"]

    async def test_without_a_deadline_none_is_overdue(self, ports: Ports) -> None:
        await ports.save_sagas(saga(deadline=NOON), saga("A-2:1", status=SagaStatus.STUCK, deadline=None))
        await ports.save_sagas(saga(status=SagaStatus.SUCCEEDED, deadline=None))

        assert await self.overdue(ports, NOON + SECOND) == []

    async def test_it_comes_with_its_cause(self, ports: Ports) -> None:
        await ports.save_sagas(saga(deadline=NOON))

        async with ports.work() as work:
            assert await ports.sagas.overdue(work, 9) == [StoredSaga(saga(deadline=NOON), CAUSE)]


def ids(*of: Project | str) -> list[str]:
    return [each.id if isinstance(each, Project) else project(each).id for each in of]
