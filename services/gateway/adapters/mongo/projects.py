"""The read model of projects: one document each."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

from libs.contracts.base import Priority
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, ReplaceOne
from libs.messaging.work import Work
from services.gateway.domain.listing import ENDED, RANKS, Position, ProjectFilter, ProjectSort
from services.gateway.domain.projects import ProjectView
from services.gateway.domain.texts import prefix_pattern

_CREATED, _CHANGED, _DEADLINE = "project.created_at", "project.changed_at", "project.deadline"
_PROJECT, _ORDER, _REFERENCE = "project.project_id", "project.order_id", "project.customer_ref"
_STATE, _PRIORITY = "project.state", "project.priority"

Keys = list[tuple[str, int]]

_SORTED: dict[ProjectSort, Keys] = {
    ProjectSort.CREATED: [(_CREATED, -1), (_PROJECT, -1)],
    ProjectSort.DEADLINE: [(_DEADLINE, 1), (_PROJECT, 1)],
    ProjectSort.PRIORITY: [(_PRIORITY, 1), (_CREATED, -1), (_PROJECT, -1)],
    ProjectSort.ORDER_ID: [(_ORDER, 1)],
    ProjectSort.CHANGED: [(_CHANGED, -1), (_PROJECT, -1)],
}
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


def _indexes(sort: ProjectSort) -> tuple[Keys, Keys]:
    """For lists of all states, and of some: these are merged, state by state, so that no list is ever sorted."""
    return [("site", 1), *_SORTED[sort]], [("site", 1), (_STATE, 1), *_SORTED[sort]]


def _index_for(wanted: ProjectFilter, sort: ProjectSort) -> Keys:
    of_all, of_states = _indexes(sort)
    if wanted.restricts_states:
        return of_states
    by_priority = bool(wanted.priorities) and sort is ProjectSort.CREATED
    return _indexes(ProjectSort.PRIORITY)[0] if by_priority else of_all


class MongoProjects:
    def __init__(self, database: driver.Database) -> None:
        self._views = database["projects"]

    async def prepare(self) -> None:
        with driver.translating():
            await self._views.create_indexes([IndexModel(keys) for sort in ProjectSort for keys in _indexes(sort)])

    async def load(self, work: Work, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], ProjectView]:
        if not keys:
            return {}
        found = self._views.find({"_id": {"$in": [_id(*key) for key in keys]}}, session=work.transaction.handle)
        views = [_view(document) async for document in found]
        return {view.key: view for view in views}

    async def save(self, work: Work, views: Iterable[ProjectView]) -> None:
        writes = [ReplaceOne({"_id": _id(*view.key)}, view.model_dump(), upsert=True) for view in views]
        if writes:
            await self._views.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def page(
        self, site: str, wanted: ProjectFilter, sort: ProjectSort, after: Position | None, limit: int, now: datetime
    ) -> Sequence[ProjectView]:
        conditions = _conditions(wanted, sort, now)
        index = _index_for(wanted, sort)
        page: list[Document] = []
        for part in _parts(wanted, sort, after):
            query: Document = {"site": site, "$and": [*conditions, part]} if conditions or part else {"site": site}
            with driver.translating():
                found = self._views.find(query, {"rebases": 0}, session=driver.reading())
                found = found.sort(_left(sort, part)).limit(limit - len(page))
                page += await found.hint(index).to_list(None)
            if len(page) == limit:
                break
        return [_view(each) for each in page]

    async def get(self, site: str, project_id: str) -> ProjectView | None:
        with driver.translating():
            document = await self._views.find_one(
                {"_id": _id(site, project_id), "site": site}, session=driver.reading()
            )
        return None if document is None else _view(document)


def _conditions(wanted: ProjectFilter, sort: ProjectSort, now: datetime) -> list[Document]:
    conditions: list[Document] = []
    if wanted.restricts_states:
        conditions.append({_STATE: {"$in": sorted(wanted.possible_states)}})
    if wanted.priorities and sort is not ProjectSort.PRIORITY:
        conditions.append({_PRIORITY: {"$in": sorted(wanted.priorities)}})
    if wanted.late:
        conditions.append({_DEADLINE: {"$lt": now}})
    elif wanted.late is False:
        in_time: list[Document] = [{_DEADLINE: None}, {_DEADLINE: {"$gte": now}}, {_STATE: {"$in": sorted(ENDED)}}]
        conditions.append({"$or": in_time})
    if wanted.text is not None:
        begins = {"$regex": prefix_pattern(wanted.text), "$options": "i"}
        conditions.append({"$or": [{_ORDER: begins}, {_REFERENCE: begins}]})
    return conditions


def _parts(wanted: ProjectFilter, sort: ProjectSort, after: Position | None) -> list[Document]:
    """What is left of the list behind a position, cut into parts that are each a single range of the index.

    One query for all of them would begin at the first of many projects with the same time, on every page anew.
    """
    match sort:
        case ProjectSort.ORDER_ID:
            return [{} if after is None else {_ORDER: {"$gt": after[0]}}]
        case ProjectSort.DEADLINE:
            return _by_deadline(after)
        case ProjectSort.PRIORITY:
            return _by_priority(wanted.priorities or frozenset(Priority), after)
        case ProjectSort.CREATED | ProjectSort.CHANGED:
            return _behind(_CREATED if sort is ProjectSort.CREATED else _CHANGED, after)


def _left(sort: ProjectSort, part: Document) -> Keys:
    """The keys of the sort that a part does not fix; by those that it fixes, it is sorted already.

    MongoDB 6 merges the ranges of several states in their order only if the sort begins behind all that is fixed.
    """
    return [(name, way) for name, way in _SORTED[sort] if name not in part or isinstance(part[name], dict)]


def _behind(field: str, after: Position | None) -> list[Document]:
    """The newest first."""
    if after is None:
        return [{}]
    moment, id_ = after
    return [{field: moment, _PROJECT: {"$lt": id_}}, {field: {"$lt": moment}}]


def _by_priority(priorities: Collection[Priority], after: Position | None) -> list[Document]:
    ranked = sorted(priorities, key=lambda priority: RANKS[priority], reverse=True)
    if after is None:
        return [{_PRIORITY: each.value} for each in ranked]
    same = [{_PRIORITY: each.value} for each in ranked if RANKS[each] == after[0]]
    less = [{_PRIORITY: each.value} for each in ranked if RANKS[each] < after[0]]
    return [each | part for each in same for part in _behind(_CREATED, after[1:])] + less


def _by_deadline(after: Position | None) -> list[Document]:
    without: Document = {_DEADLINE: None}
    if after is None:
        return [{_DEADLINE: {"$gte": _EARLIEST}}, without]
    has_none, moment, id_ = after
    if has_none:
        return [without | {_PROJECT: {"$gt": id_}}]
    return [{_DEADLINE: moment, _PROJECT: {"$gt": id_}}, {_DEADLINE: {"$gt": moment}}, without]


def _id(site: str, project_id: str) -> str:
    return f"{site}/{project_id}"


def _view(document: Document) -> ProjectView:
    return ProjectView.model_validate(document)
