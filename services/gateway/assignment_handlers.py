"""Assignments of devices that speak HTTP, from the topics on which devices with Kafka receive their tasks."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from libs.contracts.devices import TaskAssigned, TaskRevoked
from libs.contracts.topics import DEVICES_TASKS
from libs.messaging.decode import decode
from libs.messaging.records import Incoming, RawRecord
from libs.messaging.routes import Subscription
from libs.messaging.work import Work
from services.gateway.domain.assignments import Assignment, AssignmentKey, End, assigned, ended, revoked, superseded
from services.gateway.ports import Assignments


async def _nothing(run: Sequence[Incoming[Any]], work: Work) -> None: ...


_READ = Subscription(DEVICES_TASKS, {TaskAssigned: _nothing, TaskRevoked: _nothing})
"""How records are read, whichever device type's topic they are on. What cannot be read is no assignment of ours."""


def _devices(run: Sequence[RawRecord]) -> set[str]:
    """The devices that records are for: their keys."""
    return {each.key.decode("utf-8", "replace") for each in run if each.key}


class _Known:
    """The assignments of some tasks, as they become."""

    def __init__(self, found: Sequence[Assignment]) -> None:
        self.changed: dict[AssignmentKey, Assignment] = {}
        self._of_task: dict[tuple[str, str], dict[AssignmentKey, Assignment]] = defaultdict(dict)
        for each in found:
            self._of_task[each.site, each.task_id][each.key] = each

    def of_task(self, site: str, task_id: str) -> list[Assignment]:
        return list(self._of_task[site, task_id].values())

    def get(self, key: AssignmentKey) -> Assignment | None:
        return self._of_task[key.site, key.task_id].get(key)

    def put(self, after: Assignment) -> None:
        if after is not self.get(after.key):
            self._of_task[after.site, after.task_id][after.key] = self.changed[after.key] = after


class AssignmentProjection:
    def __init__(self, assignments: Assignments) -> None:
        self._assignments = assignments

    async def of_speakers(self, run: Sequence[RawRecord]) -> Sequence[RawRecord]:
        """Of devices that speak Kafka nothing is kept: their records are passed over by their keys."""
        ids = {device_id.encode() for _, device_id in await self._assignments.speakers(_devices(run))}
        return [each for each in run if each.key in ids]

    async def on_records(self, run: Sequence[RawRecord], work: Work) -> None:
        speakers = await self._assignments.speakers(_devices(run))
        messages: list[Incoming[TaskAssigned | TaskRevoked]] = [
            message for message in decode(run, _READ).messages if (message.site, message.data.device_id) in speakers
        ]
        known = await self._load(work, messages)
        for message in messages:
            site, event = message.site, message.data
            before = known.get(AssignmentKey(site, event.device_id, event.task_id))
            if isinstance(event, TaskRevoked):
                known.put(revoked(before, site, event, work.now))
                continue
            known.put(assigned(before, site, event, work.now))
            for other in known.of_task(site, event.task_id):
                if other.device_id != event.device_id:
                    known.put(superseded(other, event, work.now))
        await self._assignments.save(work, known.changed.values())

    async def on_ends(self, run: Sequence[Incoming[Any]], work: Work) -> None:
        """What devices over HTTP have reported, and the leases that have run out."""
        ends: list[Incoming[End]] = [each for each in run if isinstance(each.data, End) and each.data.fence > 0]
        speakers = await self._assignments.speakers({each.data.device_id for each in ends})
        known = await self._load(work, ends)
        for message in ends:
            site, event = message.site, message.data
            for each in known.of_task(site, event.task_id):
                known.put(ended(each, each.key, event, work.now))
            if (site, event.device_id) in speakers:
                key = AssignmentKey(site, event.device_id, event.task_id)
                known.put(ended(known.get(key), key, event, work.now))
        await self._assignments.save(work, known.changed.values())

    async def _load(self, work: Work, messages: Sequence[Incoming[Any]]) -> _Known:
        tasks = {(message.site, message.data.task_id) for message in messages}
        return _Known(await self._assignments.of_tasks(work, tasks) if tasks else ())
