"""Questions to other services: asked over Kafka, the answer waited for in the database."""

from typing import TypeVar

from libs.contracts.base import Message
from libs.contracts.explanation import ExplainTask, TaskExplained
from libs.contracts.task_lists import ListTasks, TasksListed
from libs.kernel.ids import new_id
from services.gateway.commands import Commands, Request
from services.gateway.ports import Answer, Answers
from services.gateway.waiting import found_within

QUESTION_PREFIX = "ask-"
"""What the ids of questions begin with: other answers are for others."""

ANSWER_SECONDS = 5.0
"""How long an answer may take; it takes far less than a second where the shop floor is up."""

A = TypeVar("A", TaskExplained, TasksListed)


class Questions:
    """The way from a question to its answer; None when there is no answer in time.

    Raises:
        Unconfirmed: Kafka is away.
    """

    def __init__(self, commands: Commands, answers: Answers, seconds: float = ANSWER_SECONDS) -> None:
        self._commands = commands
        self._answers = answers
        self._seconds = seconds

    async def explain(
        self, question: ExplainTask, site: str, path: str, traceparent: str | None
    ) -> TaskExplained | None:
        return await self._ask(question, TaskExplained, Request(site, path, None, "", traceparent))

    async def list_tasks(
        self, question: ListTasks, site: str, path: str, traceparent: str | None
    ) -> TasksListed | None:
        return await self._ask(question, TasksListed, Request(site, path, None, "", traceparent))

    async def _ask(self, question: Message, expected: type[A], request: Request) -> A | None:
        question_id = f"{QUESTION_PREFIX}{new_id()}"
        await self._commands.send(question_id, question, request)

        async def look(passed: float) -> Answer | None:
            return await self._answers.find(request.site, question_id)

        answer = await found_within(self._seconds, look, question_id)
        return answer if isinstance(answer, expected) else None
