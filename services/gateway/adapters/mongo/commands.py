"""Outcomes and idempotency keys: both kept for a day."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from libs.kernel.errors import Conflict
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import DuplicateKeyError, IndexModel, UpdateOne
from libs.messaging.work import Work
from services.gateway.domain.outcomes import Outcome, Result
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
        ids = [_id(site, command_id, result) for result in results]
        with driver.translating():
            found = await self._outcomes.find({"_id": {"$in": ids}, "site": site}).to_list(None)
        outcomes = {outcome.result: outcome for outcome in map(Outcome.model_validate, found)}
        return next((outcomes[result] for result in results if result in outcomes), None)


class MongoKeys:
    def __init__(self, database: driver.Database) -> None:
        self._keys = database["idempotency_keys"]

    async def prepare(self) -> None:
        with driver.translating():
            await self._keys.create_indexes([IndexModel("at", expireAfterSeconds=KEPT_SECONDS)])

    async def remember(self, site: str, path: str, key: str, fresh: Remembered, now: datetime) -> Remembered:
        # Hashed, because a client chooses the key and may have put into it what nobody should find in a database.
        id_ = f"{site}/{hashlib.sha256(f'{path} {key}'.encode()).hexdigest()}"
        document = {"_id": id_, "site": site, "at": now, **fresh._asdict()}
        with driver.translating():
            try:
                await self._keys.insert_one(document)
            except DuplicateKeyError:
                known = await self._keys.find_one({"_id": id_, "site": site})
                if known is None:
                    raise Conflict("the key ran out just now") from None
                return Remembered(known["command_id"], known["fingerprint"])
        return fresh


def _id(site: str, command_id: str, result: Result) -> str:
    return f"{site}/{command_id}/{result}"
