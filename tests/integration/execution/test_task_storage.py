"""What is written of a task follows from what changed: whatever differs is found again, and nothing else is touched."""

from collections.abc import AsyncIterator
from dataclasses import fields
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.contracts.keys import ExecutionKey
from libs.kernel.clock import utc_now
from libs.messaging.work import Work
from services.execution.app import build
from services.execution.dispatch.mongo_queues import MongoQueues
from services.execution.orders.domain.task import Pieces, Task, TaskChange, TaskState
from services.execution.orders.mongo_tasks import MongoTasks
from services.execution.settings import ExecutionSettings
from tests.harness import Kernel, handling
from tests.searching import examples

codes = st.sampled_from(["saw", "press", "laser"])
counts = st.integers(0, 3)
moments = st.none() | st.integers(0, 9).map(lambda minute: datetime(2026, 11, 28, 8, minute, tzinfo=UTC))
CHANGING = {
    "device_type": codes,
    "state": st.sampled_from(TaskState),
    **dict.fromkeys(("attempt", "fence", "closed_fence", "reworks", "rank"), counts),
    **dict.fromkeys(("device_id", "leased_type", "outcome", "request"), st.none() | codes),
    "alternatives": st.lists(codes, unique=True, max_size=2).map(tuple),
    **dict.fromkeys(("begun", "revised"), st.booleans()),
    **dict.fromkeys(("fresh_until", "delayed_until"), moments),
    "cause": st.fixed_dictionaries({"site": st.just("main"), "correlation_id": codes, "traceparent": st.none()}),
    "pieces": st.builds(Pieces, counts, counts, counts, counts),
}
NAMED = ("id", "site", "project_id", "line_id", "recipe_code", "snapshot_id", "execution", "step")
"""What makes a task that task: never changed."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kernel(mongodb: str) -> AsyncIterator[Kernel]:
    namespace = f"s{utc_now():%H%M%S%f}"
    async with handling(service := build(ExecutionSettings(mongodb=mongodb, namespace=namespace))) as kernel:
        kernel.store = service.backends.store  # type: ignore[attr-defined]
        yield kernel


def test_the_changing_fields_are_all_that_there_are() -> None:
    assert {each.name for each in fields(Task)} == {*NAMED, *CHANGING}


@pytest.mark.asyncio(loop_scope="module")
@given(
    states=st.lists(
        st.tuples(*(st.fixed_dictionaries(CHANGING) for _ in range(2)), st.sets(st.sampled_from(sorted(CHANGING)))),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_changes_is_found_stored(kernel: Kernel, states: list[tuple[dict, dict, set[str]]]) -> None:
    project = f"P{utc_now():%H%M%S%f}"
    changes = []
    for number, (before, other, changed) in enumerate(states, 1):
        key = ExecutionKey(project, "10", "R", number)
        named = {"id": key.task(1), "site": "main", "project_id": project, "line_id": "10", "recipe_code": "R"}
        task = Task(**named, snapshot_id="s", execution=number, step=1, **before)
        changes.append(TaskChange(task, Task(**vars(task) | {name: other[name] for name in changed})))
    tasks, queues = MongoTasks(kernel.database), MongoQueues(kernel.database)

    async with kernel.store.transaction() as transaction:  # type: ignore[attr-defined]
        await tasks.create(Work(transaction, "/test", utc_now()), [change.before for change in changes])
    async with kernel.store.transaction() as transaction:  # type: ignore[attr-defined]
        await tasks.save(Work(transaction, "/test", utc_now()), changes)

    async with kernel.store.transaction() as transaction:  # type: ignore[attr-defined]
        work = Work(transaction, "/test", utc_now())
        stored = await tasks.load(work, [change.after.id for change in changes])
        assert stored == {change.after.id: change.after for change in changes}
        for _, after in changes:
            ready = await queues.waiting(work, after.queue, after.source, borrowed=False, skip=0, limit=1000)
            assert (after in ready) == after.waits
            held = await queues.held_by(work, "main", after.held_by_type, after.device_id or "")
            assert (after in held) == (after.state.live and after.device_id is not None)
