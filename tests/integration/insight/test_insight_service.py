"""Given the whole insight service on Kafka, when services say something, then it stands in the event store."""

from libs.contracts import topics
from libs.contracts.catalog import OrderUnresolvable, RecipeRetired
from libs.contracts.equipment import DeviceTypeChanged
from libs.contracts.explanation import TaskExplained
from libs.contracts.snapshot import SnapshotsReleased
from libs.kernel.clock import utc_now
from libs.kernel.settings import Settings
from services.insight.app import build
from tests.harness import eventually, running


async def test_from_topics_to_the_event_store(kafka: str, mongodb: str, namespace: str) -> None:
    service = build(Settings(kafka=kafka, mongodb=mongodb, namespace=namespace, http_port=0))
    async with running(service) as wire:
        await wire.send(TaskExplained(project_id="p", task_id="p/10/FRAME/1/1", at=utc_now()), ids=["0"])
        await wire.send(
            RecipeRetired(recipe_code="FRAME", version=1),
            OrderUnresolvable(activation_id="a", project_id="p", errors=()),
            SnapshotsReleased(activation_id="a", project_id="p"),
            SnapshotsReleased(activation_id="a", project_id="p"),
            DeviceTypeChanged(device_type="WELDER", held="service", by="m.keller", at=utc_now()),
            ids=["1", "2", "3", "3", "4"],
        )
        store = service.backends.database["events"]

        async def all_there() -> bool:
            return bool(await store.count_documents({}) >= 4)

        await eventually(all_there)
        stored = await store.find().sort("event_id", 1).to_list(None)
        assert [event["topic"] for event in stored] == [
            topics.CATALOG_EVENTS.name,
            topics.CATALOG_REPLIES.name,
            topics.SNAPSHOT_EVENTS.name,
            topics.EXECUTION_DEVICE_EVENTS.name,
        ]
