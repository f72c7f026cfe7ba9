"""What is planned for devices, in MongoDB: one document a device, changed by guarded updates only.

That two reservations never overlap is in the filter of the update that adds one: of two bookers who saw the same
document, the second does not match any more, or conflicts and looks again.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from libs.contracts.base import jsonable
from libs.contracts.reservations import ReservationKind, WorkingCalendar
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, UpdateOne
from libs.messaging.work import Work
from services.execution.equipment.domain.availability import Availability, Span
from services.execution.equipment.domain.calendars import calendar_of
from services.execution.equipment.domain.reservations import MOST_SPANS, Cancellation, Closed, Plan


class MongoPlans:
    """`plans` has what is and will be, `past_reservations` what was or was cancelled."""

    def __init__(self, database: driver.Database) -> None:
        self._plans = database["plans"]
        self._past = database["past_reservations"]

    async def prepare(self) -> None:
        changing = IndexModel("next_change_at", partialFilterExpression={"next_change_at": {"$exists": True}})
        await self._plans.create_indexes([changing])

    async def availability(self, work: Work, site: str, device_ids: Collection[str]) -> dict[str, Availability]:
        plans = await self.load(work, site, device_ids)
        return {device_id: plan.availability for device_id, plan in plans.items()}

    async def load(self, work: Work, site: str, device_ids: Collection[str]) -> dict[str, Plan]:
        query = {"_id": {"$in": [f"{site}/{id_}" for id_ in device_ids]}}
        found = self._plans.find(query, session=work.transaction.handle)
        return {document["device_id"]: _plan(document) for document in await found.to_list(None)}

    async def begin(self, work: Work, plans: Sequence[Plan]) -> None:
        documents = [_begun(plan) for plan in plans]
        if documents:
            await self._plans.insert_many(documents, ordered=False, session=work.transaction.handle)

    async def book(self, work: Work, plan: Plan, span: Span) -> bool:
        in_the_way = {"from": {"$lt": span.end}, "to": {"$gt": span.start}}
        guard = {
            "_id": f"{plan.site}/{plan.device_id}",
            "spans": {"$not": {"$elemMatch": in_the_way}},
            "spans.reservation_id": {"$ne": span.reservation_id},
            f"spans.{MOST_SPANS - 1}": {"$exists": False},
        }
        change = _turned(plan, work.now) | {"$push": {"spans": _span_document(span)}}
        written = await self._plans.update_one(guard, change, session=work.transaction.handle)
        return bool(written.matched_count)

    async def cancel(self, work: Work, plan: Plan, closed: Closed) -> bool:
        span, cancellation = closed
        assert cancellation is not None, "what is over is not cancelled"
        guard = {"_id": f"{plan.site}/{plan.device_id}", "spans.reservation_id": span.reservation_id}
        change = _turned(plan, work.now) | {"$pull": {"spans": {"reservation_id": span.reservation_id}}}
        written = await self._plans.update_one(guard, change, session=work.transaction.handle)
        if not written.matched_count:
            return False
        document = _past(plan, span) | {"cancelled": cancellation._asdict()}
        await self._past.insert_one(document, session=work.transaction.handle)
        return True

    async def set_calendar(self, work: Work, plan: Plan, calendar: WorkingCalendar | None) -> None:
        change = _turned(plan, work.now)
        if calendar is None:
            change["$unset"] = change.get("$unset", {}) | {"calendar": 1}
        else:
            change["$set"] = change.get("$set", {}) | {"calendar": jsonable(calendar)}
        await self._plans.update_one({"_id": f"{plan.site}/{plan.device_id}"}, change, session=work.transaction.handle)

    async def closed(
        self, work: Work, site: str, reservations: Collection[tuple[str, str]]
    ) -> dict[tuple[str, str], Closed]:
        query = {"_id": {"$in": [f"{site}/{device_id}/{id_}" for device_id, id_ in reservations]}}
        found = self._past.find(query, session=work.transaction.handle)
        return {
            (document["device_id"], document["reservation_id"]): Closed(_span(document), _cancellation(document))
            async for document in found
        }

    async def due(self, work: Work, limit: int) -> list[Plan]:
        found = self._plans.find({"next_change_at": {"$lte": work.now}}, session=work.transaction.handle)
        return [_plan(document) for document in await found.sort("next_change_at", 1).limit(limit).to_list(None)]

    async def turn(self, work: Work, passed: Mapping[str, tuple[Plan, Sequence[Span]]]) -> None:
        session = work.transaction.handle
        writes = [
            UpdateOne({"_id": id_}, _turned(plan, work.now) | {"$pull": {"spans": {"to": {"$lte": work.now}}}})
            for id_, (plan, _) in passed.items()
        ]
        over = [_past(plan, span) for plan, spans in passed.values() for span in spans]
        if writes:
            await self._plans.bulk_write(writes, ordered=False, session=session)
        if over:
            await self._past.insert_many(over, ordered=False, session=session)


def _turned(plan: Plan, now: datetime) -> Document:
    """The plan's new revision, and when it is to be looked at next."""
    change: Document = {"$set": {"revision": plan.revision}}
    next_change = plan.availability.next_change(now)
    if next_change is None:
        change["$unset"] = {"next_change_at": 1}
    else:
        change["$set"]["next_change_at"] = next_change
    return change


def _begun(plan: Plan) -> Document:
    id_ = f"{plan.site}/{plan.device_id}"
    return {"_id": id_, "site": plan.site, "device_id": plan.device_id, "spans": [], "revision": plan.revision}


def _past(plan: Plan, span: Span) -> Document:
    id_ = f"{plan.site}/{plan.device_id}/{span.reservation_id}"
    return {"_id": id_, "site": plan.site, "device_id": plan.device_id, **_span_document(span)}


def _span_document(span: Span) -> Document:
    document: Document = {
        "reservation_id": span.reservation_id,
        "kind": span.kind.value,
        "from": span.start,
        "to": span.end,
        "by": span.by,
    }
    if span.project_id is not None:
        document["project_id"] = span.project_id
    if span.reason is not None:
        document["reason"] = span.reason
    return document


def _span(document: Document) -> Span:
    return Span(
        reservation_id=document["reservation_id"],
        kind=ReservationKind(document["kind"]),
        start=document["from"],
        end=document["to"],
        by=document["by"],
        project_id=document.get("project_id"),
        reason=document.get("reason"),
    )


def _cancellation(document: Document) -> Cancellation | None:
    return Cancellation(**document["cancelled"]) if "cancelled" in document else None


def _plan(document: Document) -> Plan:
    calendar = calendar_of(WorkingCalendar.model_validate(document["calendar"])) if "calendar" in document else None
    availability = Availability(tuple(map(_span, document["spans"])), calendar)
    return Plan(document["site"], document["device_id"], availability, document["revision"])
