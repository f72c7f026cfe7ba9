"""Questions to other services: asked over Kafka, the answer waited for in the database."""

from libs.contracts.explanation import ExplainTask, TaskExplained
from libs.kernel.ids import new_id
from services.gateway.commands import Commands, Request
from services.gateway.ports import Answers
from services.gateway.waiting import found_within

QUESTION_PREFIX = "ask-"
"""What the ids of questions begin with: other answers are for others."""

ANSWER_SECONDS = 5.0
"""How long an answer may take; it takes far less than a second where the shop floor is up."""


class Questions:
    """The way from a question to its answer."""

    def __init__(self, commands: Commands, answers: Answers, seconds: float = ANSWER_SECONDS) -> None:
        self._commands = commands
        self._answers = answers
        self._seconds = seconds

    async def ask(self, question: ExplainTask, site: str, path: str, traceparent: str | None) -> TaskExplained | None:
        """None when there is no answer in time.

        Raises:
            Unconfirmed: Kafka is away.
        """
        question_id = f"{QUESTION_PREFIX}{new_id()}"
        await self._commands.send(question_id, question, Request(site, path, None, "", traceparent))

        async def look(passed: float) -> TaskExplained | None:
            return await self._answers.find(site, question_id)

        return await found_within(self._seconds, look, question_id)
