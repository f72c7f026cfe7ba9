"""Given a lease, when it runs out or its device names it again, then the task is in one pair of hands at most."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from libs.contracts.base import Priority
from libs.contracts.devices import DeviceState, TaskAssigned, TaskRevoked
from services.execution.dispatch.domain.leases import Named, assigned, given_back, has_open_lease, judge, revoked
from services.execution.dispatch.domain.score import Source
from services.execution.orders.domain.task import Pieces, Task, TaskState
from services.execution.orders.domain.work_order import WorkOrderState
from tests.unit.execution.dispatch.given import NOW, device, order, recipe, step, waiting


def leased(state: TaskState = TaskState.LEASED, execution: int = 1, **more: Any) -> Task:
    """A task that saw 1 was given under fence 2."""
    task = waiting(Source(order(), recipe(), 1), execution, fresh=True)
    return replace(task, **({"state": state, "device_id": "saw-1", "fence": 2, "closed_fence": 1} | more))


def named(*tasks: Task, fence: int = 2, by: str = "saw-1", state: DeviceState = DeviceState.RUNNING) -> Named:
    """What a heartbeat of a device comes to that names the tasks under a fence."""
    return judge(device(by, state=state), {task.id: fence for task in tasks}, {task.id: task for task in tasks})


def assignment(task: Task, fence: int, *, pieces: int | None = None) -> TaskAssigned:
    """What saw 1, an alternative to the planned press, is told of its lease."""
    planned = step(1, device_type="press", pieces=pieces, parameters={"angle": 45})
    saw = device("saw-1", device_type="saw")
    ends = NOW + timedelta(seconds=90)
    return assigned(task, fence, saw, planned, order(priority=Priority.HIGH), ends)


class TestBeginning:
    def test_the_device_is_told_all_it_needs(self) -> None:
        told = assignment(leased(attempt=2), 3)

        assert told == TaskAssigned(
            task_id="P/L/frame/1/1",
            fence=3,
            lease_expires_at=NOW + timedelta(seconds=90),
            device_id="saw-1",
            device_type="saw",
            project_id="P",
            order_id="O-P",
            line_id="L",
            recipe_code="frame",
            recipe_snapshot_id="snap-frame",
            execution_number=1,
            step=1,
            name="step 1",
            parameters={"angle": 45},
            expected_seconds=60.0,
            attempt=2,
            priority=Priority.HIGH,
            pieces=None,
        )

    def test_of_several_pieces_only_those_not_made_yet_are_asked_for(self) -> None:
        made_under_2 = Pieces(earlier=1, good=3, scrapped=1, fence=2)

        assert assignment(leased(pieces=made_under_2), 3, pieces=10).pieces == 6
        assert assignment(leased(pieces=made_under_2), 2, pieces=10).pieces == 9, "what is said under 2 counts from 0"

    def test_a_revocation_names_the_lease_and_reaches_the_device(self) -> None:
        assert revoked(leased(device_type="press", leased_type="saw"), "cancelled") == TaskRevoked(
            task_id="P/L/frame/1/1", fence=2, device_id="saw-1", device_type="saw", reason="cancelled"
        )


NOTHING = Named(taken_back=[], stale=[])


class TestRunOut:
    def test_the_task_waits_again_and_keeps_its_freshness_and_its_fence(self) -> None:
        back = given_back(leased(), order())

        assert (back.state, back.fence, back.closed_fence) == (TaskState.READY, 2, 1)
        assert back.fresh_until is not None
        assert has_open_lease(back), "the device may be at work on it still"

    def test_a_task_of_a_cancelled_order_is_cancelled(self) -> None:
        back = given_back(leased(), order(state=WorkOrderState.CANCELLED))

        assert (back.state, back.fresh_until) == (TaskState.CANCELLED, None)

    def test_a_lease_is_open_until_its_end_is_heard_of(self) -> None:
        assert has_open_lease(leased())
        assert not has_open_lease(leased(closed_fence=2))
        assert not has_open_lease(leased(device_id=None, fence=0, closed_fence=0)), "nobody ever had it"


class TestNamedInAHeartbeat:
    @pytest.mark.parametrize("state", [TaskState.LEASED, TaskState.RUNNING])
    def test_what_the_device_holds_is_right(self, state: TaskState) -> None:
        assert named(leased(state)) == NOTHING

    def test_what_ran_out_and_nobody_else_has_had_is_taken_back(self) -> None:
        ready = leased(TaskState.READY)

        assert named(ready) == Named(taken_back=[ready], stale=[])

    def test_what_was_reported_meanwhile_is_not_taken_back(self) -> None:
        ready = leased(TaskState.READY, closed_fence=2)

        assert named(ready) == Named(taken_back=[], stale=[(ready.id, 2)])

    @pytest.mark.parametrize("state", [DeviceState.DOWN, DeviceState.OFFLINE])
    def test_a_lost_device_takes_nothing_back(self, state: DeviceState) -> None:
        ready = leased(TaskState.READY)

        assert named(ready, state=state) == Named(taken_back=[], stale=[(ready.id, 2)])

    @pytest.mark.parametrize("state", [TaskState.READY, TaskState.LEASED, TaskState.COMPLETED])
    def test_an_older_fence_is_told_to_be_stale(self, state: TaskState) -> None:
        task = leased(state)

        assert named(task, fence=1) == Named(taken_back=[], stale=[(task.id, 1)])

    @pytest.mark.parametrize("state", [TaskState.READY, TaskState.RUNNING, TaskState.COMPLETED])
    def test_what_another_device_holds_or_held_is_told_to_be_stale(self, state: TaskState) -> None:
        task = leased(state)

        assert named(task, by="saw-2") == Named(taken_back=[], stale=[(task.id, 2)])

    @pytest.mark.parametrize("state", [TaskState.HELD, TaskState.BLOCKED])
    def test_what_was_taken_from_the_device_is_told_to_be_stale(self, state: TaskState) -> None:
        task = leased(state)

        assert named(task) == Named(taken_back=[], stale=[(task.id, 2)])

    @pytest.mark.parametrize("state", [TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED])
    def test_of_what_the_device_ended_nothing_is_told(self, state: TaskState) -> None:
        """Its own report of the end may be on the way still."""
        assert named(leased(state)) == NOTHING

    def test_what_does_not_exist_or_is_another_sites_is_passed_over(self) -> None:
        gone, elsewhere = leased(TaskState.READY, 1), leased(TaskState.READY, 2, site="other")
        held, back = leased(execution=3), leased(TaskState.READY, 4)
        tasks = {task.id: task for task in (elsewhere, held, back)}
        fences = {gone.id: 2, elsewhere.id: 2, held.id: 2, back.id: 2}

        assert judge(device(), fences, tasks) == Named(taken_back=[back], stale=[])
