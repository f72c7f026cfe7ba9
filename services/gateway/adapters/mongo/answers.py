"""Answers to questions: kept until whoever asked has surely gone."""

from collections.abc import Iterable

from libs.contracts.base import jsonable
from libs.contracts.explanation import TaskExplained
from libs.contracts.task_lists import TasksListed
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import IndexModel, UpdateOne
from libs.messaging.work import Work
from services.gateway.ports import Answer

KEPT_SECONDS = 600


class MongoAnswers:
    def __init__(self, database: driver.Database) -> None:
        self._answers = database["answers"]

    async def prepare(self) -> None:
        with driver.translating():
            await self._answers.create_indexes([IndexModel("at", expireAfterSeconds=KEPT_SECONDS)])

    async def save(self, work: Work, site: str, answers: Iterable[tuple[str, Answer]]) -> None:
        writes = [
            UpdateOne(
                {"_id": _id(site, question_id)},
                {"$setOnInsert": {"site": site, "at": work.now, "type": answer.TYPE, "answer": jsonable(answer)}},
                upsert=True,
            )
            for question_id, answer in answers
        ]
        if writes:
            await self._answers.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def find(self, site: str, question_id: str) -> Answer | None:
        with driver.translating():
            document = await self._answers.find_one({"_id": _id(site, question_id), "site": site})
        if document is None:
            return None
        # Release 0.1 knew one kind of answer, and did not keep its type.
        listed = document.get("type") == TasksListed.TYPE
        return (TasksListed if listed else TaskExplained).model_validate(document["answer"])


def _id(site: str, question_id: str) -> str:
    return f"{site}/{question_id}"
