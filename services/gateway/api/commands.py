"""Commands: how far each has come since it was sent."""

from fastapi import APIRouter
from pydantic import Field

from libs.contracts.base import Data, Problem, Time
from libs.kernel.ids import project_id_of
from services.gateway.api import answers
from services.gateway.api.caller import Asks
from services.gateway.api.problems import single
from services.gateway.api.reading import JsonRoute
from services.gateway.commands import Commands
from services.gateway.domain.projects import has_asked
from services.gateway.domain.sent import CommandState, SentCommand, state_after
from services.gateway.ports import Projects


class ShownCommand(Data):
    """A command and what became of it."""

    command_id: str = Field(examples=["cmd-01a20076de3d7f929d9969f6339b9f2c"])
    type: str = Field(description="of its message", examples=["projects.project.activate.v1"])
    subject: str = Field(description="id or code of what it is about")
    location: str = Field(description="path of the resource that it is about", examples=["/api/v1/recipes/FRAME"])
    state: CommandState = Field(
        description="SENT: nothing was heard of it; ACCEPTED: taken and not yet done, as an activation on its way;"
        " DONE; REFUSED: nothing was changed, or what was changed was undone, and `errors` says why"
    )
    sent_at: Time
    done_at: Time | None = Field(None, description="when it was done or refused; null also where it was so before")
    errors: tuple[Problem, ...] = ()


def commands_router(projects: Projects, commands: Commands) -> APIRouter:
    router = APIRouter(prefix="/commands", tags=["commands"], route_class=JsonRoute)

    async def is_settled(command: SentCommand) -> bool:
        """Whether it repeats an order that the project has taken, which is not answered."""
        if command.order is None:
            return False
        view = await projects.get(command.site, project_id_of(command.site, command.order.order_id))
        return view is not None and has_asked(view, command.order)

    @router.get(
        "/{command_id}",
        name="get command",
        summary="Show how far a command has come",
        response_model=ShownCommand,
        responses=answers.problems(404),
    )
    async def get_one(caller: Asks, command_id: str) -> ShownCommand:
        """For a day after it was sent."""
        found = await commands.status(caller.site, command_id)
        if found is None:
            raise single(404, "UNKNOWN_COMMAND", "path.command_id", f"there is no command {command_id[:64]!r}")
        command, outcome = found
        state = state_after(command, outcome)
        if state is CommandState.SENT and await is_settled(command):
            state = CommandState.DONE
        ended = state in (CommandState.DONE, CommandState.REFUSED)
        return ShownCommand(
            **command.model_dump(exclude={"site", "results", "order"}),
            state=state,
            done_at=outcome.at if outcome and ended else None,
            errors=outcome.errors if outcome else (),
        )

    return router
