"""A database from when tasks themselves said that they wait: everything that waited still does."""

import asyncio
from datetime import UTC, datetime, timedelta

from libs.runtime.service import Service
from services.execution.orders.mongo_tasks import MongoTasks
from tests.harness import Kernel
from tests.integration.execution.talk import dispatch, given, release

OLD_INDEX = [("queue", 1), ("source", 1), ("rank", -1), ("execution", 1), ("_id", 1)]
LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


async def as_before(kernel: Kernel) -> None:
    """What waits, and what pauses, as it was written once."""
    tasks, waiting = kernel.database["tasks"], kernel.database["waiting"]
    async for entry in waiting.find({}):
        marks = {"queue": entry["queue"], "source": entry["source"]}
        paused = entry["_id"] == "P/10/R/3/1"
        await tasks.update_one({"_id": entry["_id"]}, {"$set": {"delayed_until": LATER} if paused else marks})
    await waiting.drop()
    await tasks.create_index(OLD_INDEX, partialFilterExpression={"queue": {"$exists": True}})
    await tasks.create_index("fresh_until", partialFilterExpression={"queue": {"$exists": True}})
    await tasks.create_index("delayed_until", partialFilterExpression={"delayed_until": {"$exists": True}})


async def test_what_waited_is_given_away_and_what_paused_pauses(kernel: Kernel, service: Service) -> None:
    await release(kernel, "P", quantity=4)
    await as_before(kernel)
    tasks = next(each for each in service.prepare if isinstance(getattr(each, "__self__", None), MongoTasks))
    await asyncio.gather(*(tasks() for _ in range(3)))  # by instances that start at the same time
    await tasks()
    assert given(await dispatch(kernel)) == [("P/10/R/1/1", "saw-1"), ("P/10/R/2/1", "saw-2")]
    entries = {each["_id"]: each async for each in kernel.database["waiting"].find({})}
    assert entries.keys() == {"P/10/R/3/1", "P/10/R/4/1"}
    assert entries["P/10/R/3/1"]["delayed_until"] == LATER
    assert set(await kernel.database["tasks"].index_information()) == {
        "_id_",
        "pool_1_lease_expires_at_1_device_id_1",
    }
    assert await kernel.database["tasks"].count_documents({"queue": {"$exists": True}}) == 0
