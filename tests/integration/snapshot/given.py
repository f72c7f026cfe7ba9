"""Commands, a cache that can be looked into, and the service's handlers in transactions at moments of one's choice."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.contracts.base import Message
from libs.contracts.canonical import canonical_json, content_hash
from libs.contracts.catalog import Definition
from libs.contracts.envelope import Envelope
from libs.contracts.snapshot import FreezeSnapshots, ReleaseSnapshots
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from libs.runtime.service import Backends, Service
from services.snapshot.adapters.mongo import MongoActivations, MongoSnapshots
from services.snapshot.handlers import SnapshotHandlers
from services.snapshot.ports import Activations, HotSnapshots, Ids
from services.snapshot.routes import routes, ticks
from services.snapshot.settings import SnapshotSettings
from tests.harness import Raw, Said, handling, said_of

MONDAY = datetime(2026, 11, 16, 8, tzinfo=UTC)
DAY = timedelta(days=1)
KEEP_DAYS = 7


class Hot:
    """A memory of snapshots that can be looked into; it never forgets what was removed."""

    def __init__(self) -> None:
        self.ids: set[tuple[str, str]] = set()
        self.asked: list[Ids] = []

    async def known(self, wanted: Ids) -> dict[str, set[str]]:
        self.asked.append(wanted)
        return {site: {id_ for id_ in ids if (site, id_) in self.ids} for site, ids in wanted.items()}

    async def remember(self, present: Ids) -> None:
        self.ids |= {(site, id_) for site, ids in present.items() for id_ in ids}


def definition(code: str, version: int = 1, **content: Any) -> Definition:
    content = {"name": code, **content}
    return Definition(
        kind="recipe",
        code=code,
        version=version,
        content_hash=content_hash("recipe", code, content),
        content=canonical_json(content),
    )


def freeze(activation: str, *definitions: Definition) -> FreezeSnapshots:
    return FreezeSnapshots(activation_id=activation, project_id=f"p-{activation}", definitions=definitions)


def release(activation: str) -> ReleaseSnapshots:
    return ReleaseSnapshots(activation_id=activation, project_id=f"p-{activation}")


def service(mongodb: str, namespace: str, hot: HotSnapshots) -> Service:
    backends = Backends("snapshot", SnapshotSettings(mongodb=mongodb, namespace=namespace))
    activations = MongoActivations(backends.database, timedelta(days=backends.settings.keep_days))
    snapshots = MongoSnapshots(backends.database)
    handlers = SnapshotHandlers(activations, snapshots, hot, KEEP_DAYS)
    prepare = activations.prepare, snapshots.prepare
    return Service(backends, subscriptions=routes(handlers), ticks=ticks(handlers), prepare=prepare)


class Shelf:
    """The snapshots and their handlers; every call is a transaction of its own, unless it is given one."""

    def __init__(self, service: Service, hot: HotSnapshots) -> None:
        self.service = service
        self.store = service.backends.store
        self.database = service.backends.database
        self.activations = MongoActivations(self.database, timedelta(days=service.backends.settings.keep_days))
        self.snapshots = MongoSnapshots(self.database)
        self.handlers = self.handlers_with(hot)

    def handlers_with(self, hot: HotSnapshots, activations: Activations | None = None) -> SnapshotHandlers:
        return SnapshotHandlers(activations or self.activations, self.snapshots, hot, KEEP_DAYS)

    @asynccontextmanager
    async def work(self, now: datetime) -> AsyncIterator[Work]:
        async with self.store.transaction() as transaction:
            yield Work(transaction, "/snapshot", now)

    async def give(self, now: datetime, *messages: Message, site: str = "main") -> list[Said]:
        async with self.work(now) as work:
            await self.handlers.on_commands(incoming(messages, site), work)
        return [said_of(record) for record in work.outgoing]

    async def clean_up(self, now: datetime) -> None:
        async with self.work(now) as work:
            await self.handlers.clean_up(work)

    async def clean_up_all(self, now: datetime) -> int:
        """Until there is nothing to do; how often there was."""
        turns = 0
        while True:
            before = await self.documents("snapshots")
            await self.clean_up(now)
            if before == await self.documents("snapshots"):
                return turns
            turns += 1

    async def codes(self, site: str = "main") -> list[str]:
        """Of which recipes there are snapshots."""
        return sorted(document["code"] for document in await self.documents("snapshots") if document["site"] == site)

    async def documents(self, collection: str) -> list[dict[str, Any]]:
        return await self.database[collection].find().sort("_id", 1).to_list(None)


def incoming(messages: Sequence[Message], site: str = "main") -> list[Incoming[Any]]:
    """Messages as the kernel hands them to handlers."""
    raw = Raw("snapshot.commands.v1", None, None, [])
    return [
        Incoming(Envelope(f"m{number}", each.TYPE, "/test", each.subject, site=site), each, raw)
        for number, each in enumerate(messages)
    ]


@asynccontextmanager
async def shelf_on(mongodb: str, namespace: str, hot: HotSnapshots) -> AsyncIterator[Shelf]:
    built = service(mongodb, namespace, hot)
    async with handling(built):
        yield Shelf(built, hot)
