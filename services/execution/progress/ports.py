"""What progress needs of the database; every read and write serves a whole run of messages."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from libs.contracts.keys import ExecutionKey
from libs.messaging.work import Work


class Ledger(Protocol):
    async def append(self, work: Work, facts: Sequence[dict[str, Any]]) -> None: ...

    async def of_executions(self, work: Work, keys: Collection[ExecutionKey]) -> list[dict[str, Any]]:
        """All entries of the executions."""
