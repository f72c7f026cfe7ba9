"""Commands that were sent, with their idempotency keys, and their outcomes: all kept for a day."""

import hashlib
from collections.abc import Collection, Iterable, Sequence

from libs.kernel.errors import Conflict
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import DuplicateKeyError, IndexModel, UpdateOne
from libs.messaging.work import Work
from services.gateway.domain.outcomes import Outcome, Result
from services.gateway.domain.sent import SentCommand
from services.gateway.ports import Remembered

KEPT_SECONDS = 24 * 3600
"""Far shorter than the inboxes of the consumers, so that a repetition within this time is always known to them."""


class MongoOutcomes:
    def __init__(self, database: driver.Database) -> None:
        self._outcomes = database["outcomes"]

    async def prepare(self) -> None:
        with driver.translating():
            await self._outcomes.create_indexes([IndexModel("at", expireAfterSeconds=KEPT_SECONDS)])

    async def save(self, work: Work, outcomes: Iterable[Outcome]) -> None:
        writes = [
            UpdateOne(
                {"_id": _id(outcome.site, outcome.command_id, outcome.result)},
                {"$setOnInsert": outcome.model_dump() | {"at": work.now}},
                upsert=True,
            )
            for outcome in outcomes
        ]
        if writes:
            await self._outcomes.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def find(self, site: str, command_id: str, results: Sequence[Result]) -> Outcome | None:
        return (await self.find_all(site, [command_id], results)).get(command_id)

    async def find_all(self, site: str, command_ids: Collection[str], results: Sequence[Result]) -> dict[str, Outcome]:
        ids = [_id(site, id_, result) for id_ in command_ids for result in results]
        with driver.translating():
            found = await self._outcomes.find({"_id": {"$in": ids}, "site": site}).to_list(None)
        outcomes = sorted(map(Outcome.model_validate, found), key=lambda each: results.index(each.result), reverse=True)
        return {outcome.command_id: outcome for outcome in outcomes}


class MongoSentCommands:
    """One document a command: with an idempotency key its `_id` is made of the key, so that one write does for both.

    The collection has its name from release 0.1, which kept the keys alone.
    """

    def __init__(self, database: driver.Database) -> None:
        self._commands = database["idempotency_keys"]

    async def prepare(self) -> None:
        indexes = [IndexModel("at", expireAfterSeconds=KEPT_SECONDS), IndexModel([("site", 1), ("command_id", 1)])]
        with driver.translating():
            await self._commands.create_indexes(indexes)

    async def remember(self, command: SentCommand, path: str, key: str | None, fingerprint: str) -> Remembered:
        site, fresh = command.site, Remembered(command.command_id, fingerprint)
        # Hashed, because a client chooses the key and may have put into it what nobody should find in a database.
        name = fresh.command_id if key is None else hashlib.sha256(f"{path} {key}".encode()).hexdigest()
        id_ = f"{site}/{name}"
        document = {"_id": id_, "at": command.sent_at, "fingerprint": fingerprint, **command.model_dump()}
        with driver.translating():
            try:
                await self._commands.insert_one(document)
            except DuplicateKeyError:
                known = await self._commands.find_one({"_id": id_, "site": site})
                if known is None:
                    raise Conflict("the key ran out just now") from None
                return Remembered(known["command_id"], known["fingerprint"])
        return fresh

    async def find(self, site: str, command_id: str) -> SentCommand | None:
        # Release 0.1 did not keep the type.
        query = {"site": site, "command_id": command_id, "type": {"$type": "string"}}
        with driver.translating():
            document = await self._commands.find_one(query)
        return None if document is None else SentCommand.model_validate(document)


def _id(site: str, command_id: str, result: Result) -> str:
    return f"{site}/{command_id}/{result}"
