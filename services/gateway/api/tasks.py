"""Tasks: where each stands and why, as the shop floor answers; and what operators say of it."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from libs.contracts.by_hand import (
    CompleteTask,
    CorrectTask,
    HoldTask,
    ReleaseTask,
    RetryTask,
    ScrapTask,
    TaskCommand,
)
from libs.contracts.explanation import ExplainTask
from services.gateway.api import PREFIX, answers, examples, models
from services.gateway.api.asking import answered
from services.gateway.api.caller import Asks
from services.gateway.api.equipment_bodies import CorrectionWish, Word
from services.gateway.api.posting import Posted, Traceparent
from services.gateway.api.problems import ApiProblem, single
from services.gateway.api.reading import JsonRoute
from services.gateway.api.telling import TELLING, tell
from services.gateway.commands import Commands
from services.gateway.domain.outcomes import Outcome
from services.gateway.domain.tasks import project_of
from services.gateway.ports import Projects
from services.gateway.questions import Questions


@dataclass(frozen=True, slots=True)
class Verb:
    """What operators can say of a task."""

    word: str
    command: type[TaskCommand]
    body: type[Word]
    summary: str
    description: str
    example: dict[str, Any]


VERBS = (
    Verb(
        "hold",
        HoldTask,
        Word,
        "Hold a task back",
        "It is not handed out until it is released. A lease that nobody has begun is taken back; what runs cannot be"
        " held.",
        examples.WORD,
    ),
    Verb(
        "release",
        ReleaseTask,
        Word,
        "Release a held task",
        "It may be handed out again, with the attempts that it has left.",
        examples.WORD,
    ),
    Verb(
        "retry",
        RetryTask,
        Word,
        "Try a held or failed task again",
        "With all its attempts. Where another execution had replaced this one, one that is still open is withdrawn.",
        examples.WORD,
    ),
    Verb(
        "complete",
        CompleteTask,
        Word,
        "Say that a task is done well",
        "Whoever did it: it counts as a device's report does. A device that holds the task is told to leave it.",
        examples.WORD,
    ),
    Verb(
        "scrap",
        ScrapTask,
        Word,
        "Say that a task is lost",
        "Its execution ends and is replaced, as when a device reports scrap.",
        examples.WORD,
    ),
    Verb(
        "correct",
        CorrectTask,
        CorrectionWish,
        "Correct what was said of a completed task",
        "Counts move back exactly, and the ERP is told. Legal until the order is closed.",
        examples.CORRECTION,
    ),
)


class TaskIdConvertor(Convertor[str]):
    """A task id in a path, slashes included: five segments at most, of which the last is no word of `VERBS`.

    A path behind a task id therefore never counts as a part of the id, and `/tasks/{task_id}` and
    `/tasks/{task_id}/hold` never match the same path. Ids that no task can have match too: the routes answer them
    with a problem of their own, UNKNOWN_TASK.
    """

    regex = rf"(?:[^/]*/){{0,4}}(?!(?:{'|'.join(verb.word for verb in VERBS)})(?:/|$))[^/]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def location_of_task(task_id: str) -> str:
    return f"{PREFIX}/tasks/{task_id}"


def tasks_router(projects: Projects, questions: Questions, commands: Commands) -> APIRouter:
    register_url_convertor("task_id", TaskIdConvertor())
    router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=JsonRoute)

    async def known(site: str, task_id: str) -> str:
        """Its project; whether that has such a task, only the shop floor knows."""
        project_id = project_of(task_id)
        if project_id is None or await projects.get(site, project_id) is None:
            raise _unknown(task_id)
        return project_id

    @router.get(
        "/{task_id:task_id}",
        name="get task",
        summary="Show a task, and why it is where it is",
        response_model=models.ShownTask,
        responses=answers.problems(404, 504),
    )
    async def get_one(
        request: Request, caller: Asks, task_id: str, traceparent: Traceparent = None
    ) -> models.ShownTask:
        """The shop floor is asked. The slashes of a task id may be sent as they are.

        A task that waits says all that stands in its way, and what it would score now; one that was handed out, why:
        its score with the parts of it, the best alternatives, and why they lost.
        """
        project_id = await known(caller.site, task_id)
        question = ExplainTask(project_id=project_id, task_id=task_id)
        path = request.scope["path"]
        answer = await answered(questions.explain(question, caller.site, path, traceparent))
        if answer.state is None:
            raise _unknown(task_id)
        return models.ShownTask.model_validate(answer.model_dump())

    for verb in VERBS:
        _add(router, verb, known, commands)
    return router


def _add(router: APIRouter, verb: Verb, known: Any, commands: Commands) -> None:
    @router.post(
        f"/{{task_id:task_id}}/{verb.word}",
        name=f"{verb.word} task",
        summary=verb.summary,
        description=verb.description,
        status_code=202,
        response_model=models.Accepted,
        responses=TELLING | answers.WITH_BODY | answers.outcome(200, models.TaskDone, "It is so, now or before."),
    )
    async def say(
        posting: Posted,
        task_id: str,
        word: Annotated[verb.body, Body(openapi_examples={verb.word: {"value": verb.example}})],  # type: ignore[name-defined]
    ) -> Response:
        ids = {"project_id": await known(posting.asked.site, task_id), "task_id": task_id}

        def command(command_id: str) -> TaskCommand:
            return verb.command.model_validate(word.model_dump() | ids | {"request_id": command_id})

        return await tell(posting, commands, command, lambda _: location_of_task(task_id), _done)


async def _done(outcome: Outcome) -> tuple[int, models.TaskDone]:
    assert outcome.told is not None, "outcomes of words on tasks have what was told"
    return 200, models.TaskDone.model_validate(outcome.told | {"changed": outcome.created})


def _unknown(task_id: str) -> ApiProblem:
    return single(404, "UNKNOWN_TASK", "path.task_id", f"there is no task {task_id[:100]!r}")
