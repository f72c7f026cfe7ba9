"""The ledger in MongoDB."""

from collections.abc import Collection, Sequence
from typing import Any

from libs.contracts.keys import ExecutionKey
from libs.messaging.mongo import driver
from libs.messaging.work import Work


class MongoLedger:
    """Append-only; an id that is there already would mean that a report counted twice, and aborts the batch."""

    def __init__(self, database: driver.Database) -> None:
        self._ledger = database["ledger"]

    async def append(self, work: Work, facts: Sequence[dict[str, Any]]) -> None:
        if facts:
            await self._ledger.insert_many(facts, ordered=False, session=work.transaction.handle)

    async def of_executions(self, work: Work, keys: Collection[ExecutionKey]) -> list[dict[str, Any]]:
        if not keys:
            return []
        # By their ids: `/` and the character that follows it bound the range of each execution.
        ranges = [{"_id": {"$gt": f"{key}/", "$lt": f"{key}0"}} for key in keys]
        found = self._ledger.find({"$or": ranges}, session=work.transaction.handle)
        return await driver.whole(found)
