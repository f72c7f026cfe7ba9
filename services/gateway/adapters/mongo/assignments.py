"""Assignments of devices that speak HTTP, and which devices these are."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from libs.kernel.clock import utc_now
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, ReplaceOne
from libs.messaging.work import Work
from services.gateway.domain.assignments import Assignment

KEPT_SECONDS = 8 * 24 * 3600
"""How long it is known that a lease is over: longer than its assignment can be read from its topic."""

PART = "assignments"
"""The collection; a document's id is `site/device/task`."""


class MongoAssignments:
    def __init__(self, database: driver.Database) -> None:
        self._assignments = database[PART]
        self._speakers = database["devices_over_http"]

    async def prepare(self) -> None:
        indexes = [
            IndexModel([("site", 1), ("task_id", 1)]),
            IndexModel([("site", 1), ("device_id", 1), ("open", 1), ("changed_at", 1)]),
            IndexModel("closed_at", expireAfterSeconds=KEPT_SECONDS),
        ]
        with driver.translating():
            await self._assignments.create_indexes(indexes)
            await self._speakers.create_indexes([IndexModel("device_id")])

    async def introduce(self, site: str, device_id: str) -> None:
        fresh = {"$set": {"site": site, "device_id": device_id, "at": utc_now()}}
        with driver.translating():
            await self._speakers.update_one({"_id": f"{site}/{device_id}"}, fresh, upsert=True)

    async def speakers(self, device_ids: Collection[str]) -> set[tuple[str, str]]:
        if not device_ids:
            return set()
        query = {"device_id": {"$in": sorted(device_ids)}}
        with driver.translating():
            found = await driver.whole(self._speakers.find(query))
        return {(each["site"], each["device_id"]) for each in found}

    async def of_tasks(self, work: Work, tasks: Collection[tuple[str, str]]) -> Sequence[Assignment]:
        by_site: dict[str, list[str]] = {}
        for site, task_id in tasks:
            by_site.setdefault(site, []).append(task_id)
        found: list[Assignment] = []
        for site, ids in by_site.items():
            query = {"site": site, "task_id": {"$in": ids}}
            found += map(_read, await driver.whole(self._assignments.find(query, session=work.transaction.handle)))
        return found

    async def save(self, work: Work, assignments: Iterable[Assignment]) -> None:
        writes = [ReplaceOne({"_id": "/".join(each.key)}, _document(each), upsert=True) for each in assignments]
        if writes:
            await self._assignments.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def of_device(self, site: str, device_id: str, revoked_since: datetime | None) -> Sequence[Assignment]:
        device: Document = {"site": site, "device_id": device_id}
        wanted = [device | {"open": True}]
        if revoked_since is not None:
            wanted.append(device | {"open": False, "revoked": True, "changed_at": {"$gte": revoked_since}})
        with driver.translating():
            documents = await driver.whole(self._assignments.find({"$or": wanted}, session=driver.reading()))
        return sorted(map(_read, documents), key=lambda each: (each.changed_at, each.task_id))


def _document(assignment: Assignment) -> Document:
    """The assignment as text beside what is searched for: its parameters may be any JSON."""
    return {
        "site": assignment.site,
        "device_id": assignment.device_id,
        "task_id": assignment.task_id,
        "open": assignment.open,
        "revoked": assignment.revoked is not None,
        "changed_at": assignment.changed_at,
        "assignment": assignment.model_dump_json(),
    } | ({} if assignment.open else {"closed_at": assignment.changed_at})


def _read(document: Document) -> Assignment:
    return Assignment.model_validate_json(document["assignment"])
