"""Given activations, when batches freeze and release, then there is one snapshot a content and nothing is let go of."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.contracts.snapshot import SnapshotsFrozen, SnapshotsRejected, SnapshotsReleased
from tests.harness import Kernel, Said, handling
from tests.integration.snapshot.given import Hot, definition, freeze, release, service


@pytest.fixture
async def snapshot(mongodb: str, namespace: str, hot: Hot) -> AsyncIterator[Kernel]:
    async with handling(service(mongodb, namespace, hot)) as kernel:
        yield kernel


def types(said: list[Said]) -> list[type]:
    return [type(each.message) for each in said]


async def documents(kernel: Kernel, collection: str) -> list[dict[str, Any]]:
    return await kernel.database[collection].find().sort("_id", 1).to_list(None)


async def test_orders_of_the_same_content_share_its_snapshot(snapshot: Kernel) -> None:
    said = await snapshot.give(
        freeze("a1", definition("A"), definition("B")), freeze("a2", definition("B", version=9), definition("C"))
    )
    assert types(said) == [SnapshotsFrozen, SnapshotsFrozen]
    one, two = (each.message for each in said)
    assert isinstance(one, SnapshotsFrozen)
    assert isinstance(two, SnapshotsFrozen)
    assert [(ref.code, ref.version) for ref in one.snapshots + two.snapshots] == [
        ("A", 1),
        ("B", 1),
        ("B", 9),
        ("C", 1),
    ]
    assert one.snapshots[1].snapshot_id == two.snapshots[0].snapshot_id
    stored = await documents(snapshot, "snapshots")
    assert sorted(document["code"] for document in stored) == ["A", "B", "C"]
    assert all(document["_id"] == f"main/{document['snapshot_id']}" for document in stored)


async def test_what_exists_is_never_written_again(snapshot: Kernel) -> None:
    await snapshot.give(freeze("a1", definition("A")))
    before = await documents(snapshot, "snapshots")
    said = await snapshot.give(freeze("a2", definition("A", version=5)), freeze("a3", definition("A")))
    assert types(said) == [SnapshotsFrozen, SnapshotsFrozen]
    assert await documents(snapshot, "snapshots") == before


async def test_the_memory_learns_only_what_is_committed(snapshot: Kernel, hot: Hot) -> None:
    await snapshot.give(freeze("a1", definition("A")))
    assert hot.ids == set(), "the transaction that added it may still have failed"
    await snapshot.give(freeze("a2", definition("A")))
    assert hot.ids == {("main", definition("A").content_hash)}
    await snapshot.give(freeze("a3", definition("A")))
    assert len(hot.asked) == 3
    assert len(await documents(snapshot, "snapshots")) == 1


async def test_the_same_freeze_again_is_answered_the_same(snapshot: Kernel) -> None:
    command = freeze("a1", definition("A"), definition("B"))
    said = await snapshot.give(command, command)
    again = await snapshot.give(command)
    assert said[0].message == said[1].message == again[0].message
    assert len(await documents(snapshot, "activations")) == 1


async def test_a_release_lets_go_of_its_own_references_only(snapshot: Kernel) -> None:
    await snapshot.give(freeze("a1", definition("A")), freeze("a2", definition("A")))
    [said] = await snapshot.give(release("a1"))
    assert said.message == SnapshotsReleased(activation_id="a1", project_id="p-a1")
    one, two = await documents(snapshot, "activations")
    assert (one["state"], one["references"]) == ("RELEASED", [])
    assert (two["state"], len(two["references"])) == ("FROZEN", 1)
    assert len(await documents(snapshot, "snapshots")) == 1


async def test_a_release_that_overtook_its_freeze_wins(snapshot: Kernel) -> None:
    said = await snapshot.give(release("a1"), freeze("a1", definition("A")), release("a1"))
    assert types(said) == [SnapshotsReleased, SnapshotsRejected, SnapshotsReleased]
    [late] = await snapshot.give(freeze("a1", definition("A")))
    assert isinstance(late.message, SnapshotsRejected)
    assert late.message.errors[0].code == "RELEASED"
    assert await documents(snapshot, "snapshots") == []


async def test_in_one_batch_a_freeze_and_its_release_come_to_nothing(snapshot: Kernel) -> None:
    said = await snapshot.give(freeze("a1", definition("A")), release("a1"), freeze("a1", definition("A")))
    assert types(said) == [SnapshotsFrozen, SnapshotsReleased, SnapshotsRejected]
    [activation] = await documents(snapshot, "activations")
    assert (activation["state"], activation["references"]) == ("RELEASED", [])


async def test_changed_content_is_rejected_and_leaves_nothing(snapshot: Kernel) -> None:
    bad = definition("A").model_copy(update={"content": '{"name":"changed"}'})
    [said] = await snapshot.give(freeze("a1", bad))
    assert isinstance(said.message, SnapshotsRejected)
    assert said.message.errors[0].code == "HASH_MISMATCH"
    assert await documents(snapshot, "snapshots") == await documents(snapshot, "activations") == []


async def test_sites_have_snapshots_of_their_own(snapshot: Kernel) -> None:
    await snapshot.give(freeze("a1", definition("A")), site="north")
    await snapshot.give(release("a1"), site="south")
    [said] = await snapshot.give(freeze("a1", definition("A")), site="north")
    assert isinstance(said.message, SnapshotsFrozen)
    await snapshot.give(freeze("a2", definition("A")), site="south")
    assert sorted(document["site"] for document in await documents(snapshot, "snapshots")) == ["north", "south"]


async def test_content_of_any_names_and_numbers_is_kept_byte_by_byte(snapshot: Kernel) -> None:
    odd = definition("A", **{"$set": {"a.b": 5.0, "": [1e-7, None]}, "ü": "😀\u0000"})
    await snapshot.give(freeze("a1", odd))
    [stored] = await documents(snapshot, "snapshots")
    assert '"$set":{"":[1e-7,null],"a.b":5}' in stored["content"]


async def test_two_instances_freezing_the_same_at_once_make_one_snapshot(mongodb: str, namespace: str) -> None:
    """As after a rebalance: neither waits for the other, one of both meets the other's write and tries again."""
    shared = [definition(f"R{number}") for number in range(20)]
    async with (
        handling(service(mongodb, namespace, Hot())) as one,
        handling(service(mongodb, namespace, Hot())) as other,
    ):
        for turn in range(5):
            fresh = [definition(f"T{turn}-{number}") for number in range(20)]
            said = await asyncio.gather(
                one.give(freeze(f"one-{turn}", *shared, *fresh)), other.give(freeze(f"other-{turn}", *fresh, *shared))
            )
            assert [types(each) for each in said] == [[SnapshotsFrozen], [SnapshotsFrozen]]
        assert len(await documents(one, "snapshots")) == 20 + 5 * 20
        assert one.dead == other.dead == []
