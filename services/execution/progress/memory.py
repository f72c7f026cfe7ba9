"""The ledger in memory: for tests, with the same behaviour as in MongoDB."""

from collections.abc import Collection, Sequence
from typing import Any

from libs.contracts.keys import ExecutionKey
from libs.messaging.memory import Table, insert
from libs.messaging.work import Work


class MemoryLedger:
    """Facts by their ids, which begin with the key of their execution."""

    def __init__(self) -> None:
        self.facts = Table[str, dict[str, Any]]()

    async def append(self, work: Work, facts: Sequence[dict[str, Any]]) -> None:
        insert(self.facts.within(work.transaction), ((fact["_id"], fact) for fact in facts))

    async def of_executions(self, work: Work, keys: Collection[ExecutionKey]) -> list[dict[str, Any]]:
        beginnings = tuple(f"{key}/" for key in keys)
        return [fact for id_, fact in self.facts.within(work.transaction).items() if id_.startswith(beginnings)]
