"""Given the whole snapshot service on Kafka, when activations freeze and release, then they are answered there."""

from datetime import timedelta

from libs.contracts import topics
from libs.contracts.canonical import canonical_json, content_hash
from libs.contracts.catalog import Definition
from libs.contracts.snapshot import (
    FreezeSnapshots,
    ReleaseSnapshots,
    SnapshotsFrozen,
    SnapshotsRejected,
    SnapshotsReleased,
)
from libs.kernel.clock import utc_now
from libs.messaging.background import ticking
from services.snapshot.app import build
from services.snapshot.settings import SnapshotSettings
from tests.harness import handling, running

CONTENT = {"name": "Frame", "steps": []}
FRAME = Definition(
    kind="recipe",
    code="FRAME",
    version=2,
    content_hash=content_hash("recipe", "FRAME", CONTENT),
    content=canonical_json(CONTENT),
)


def freeze(activation: str) -> FreezeSnapshots:
    return FreezeSnapshots(activation_id=activation, project_id="p", definitions=(FRAME,))


async def test_from_commands_to_events(kafka: str, mongodb: str, redis: str, namespace: str) -> None:
    service = build(SnapshotSettings(kafka=kafka, mongodb=mongodb, redis=redis, namespace=namespace, http_port=0))
    async with running(service) as wire:
        await wire.send(
            freeze("a1"),
            ReleaseSnapshots(activation_id="a1", project_id="p"),
            freeze("a1"),
            freeze("a2"),
        )
        heard = await wire.hear(topics.SNAPSHOT_EVENTS.name, until=lambda heard: len(heard) >= 4)
        assert [type(each.message) for each in heard] == [
            SnapshotsFrozen,
            SnapshotsReleased,
            SnapshotsRejected,
            SnapshotsFrozen,
        ]
        assert {each.envelope.subject for each in heard} == {"p"}
        database = service.backends.database
        [stored] = await database["snapshots"].find().to_list(None)
        assert stored["snapshot_id"] == FRAME.content_hash


async def test_a_database_made_anew_is_not_taken_for_the_old_one(mongodb: str, redis: str, namespace: str) -> None:
    """Redis outlives it and remembers snapshots of the old one, under the same names."""
    settings = SnapshotSettings(mongodb=mongodb, redis=redis, namespace=namespace)
    for _ in range(2):
        async with handling(build(settings)) as kernel:
            for activation in ("a1", "a2", "a3"):
                await kernel.give(freeze(activation))
            assert await kernel.database["snapshots"].count_documents({}) == 1


async def test_time_cleans_up(mongodb: str, redis: str, namespace: str) -> None:
    service = build(SnapshotSettings(mongodb=mongodb, redis=redis, namespace=namespace, keep_unreferenced_days=1))
    async with handling(service) as kernel:
        await kernel.give(freeze("a1"), freeze("a2"), ReleaseSnapshots(activation_id="a1", project_id="p"))

        async def left_after(days: int) -> int:
            later = utc_now() + timedelta(days=days)
            for tick in service.ticks:
                await ticking(service.name, tick, service.backends.store, kernel.publisher, lambda: later).once()
            return int(await kernel.database["snapshots"].count_documents({}))

        assert await left_after(2) == 1, "the other activation refers to it"
        await kernel.give(ReleaseSnapshots(activation_id="a2", project_id="p"))
        assert await left_after(3) == 1, "it was needed the day before"
        assert await left_after(4) == 0
        [said] = await kernel.give(freeze("a3"))
        assert isinstance(said.message, SnapshotsFrozen)
        assert await kernel.database["snapshots"].count_documents({}) == 1


async def test_without_redis_it_freezes_all_the_same(mongodb: str, namespace: str) -> None:
    settings = SnapshotSettings(mongodb=mongodb, redis="redis://127.0.0.1:1/0", namespace=namespace)
    async with handling(build(settings)) as kernel:
        for activation in ("a1", "a2", "a3", "a4", "a5"):
            [said] = await kernel.give(freeze(activation))
            assert isinstance(said.message, SnapshotsFrozen)
        assert await kernel.database["snapshots"].count_documents({}) == 1
