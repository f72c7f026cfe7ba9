"""Commands to the shop floor: sent, and answered with what came of them."""

from collections.abc import Awaitable, Callable, Sequence

from pydantic import BaseModel
from starlette.responses import Response

from libs.contracts.base import Message, Problem
from services.gateway.api import answers, models
from services.gateway.api.posting import Posting
from services.gateway.api.problems import ApiProblem
from services.gateway.commands import Commands
from services.gateway.domain.outcomes import Outcome, Result

_UNKNOWN = {"UNKNOWN_TASK", "UNKNOWN_DEVICE", "UNKNOWN_RESERVATION"}
_WRONG = {"EMPTY_SPAN", "PAST", "MISSING", "UNKNOWN_TIMEZONE", "DUPLICATE_DATE"}
"""What is wrong with the request itself, however things stand."""

TELLING = answers.COMMANDING | answers.problems(404, 409)
"""What any command to the shop floor may answer, beside its outcome."""


async def tell(
    posting: Posting,
    commands: Commands,
    make: Callable[[str], Message],
    located: Callable[[str], str],
    show: Callable[[Outcome], Awaitable[tuple[int, BaseModel]]],
) -> Response:
    """Send what `make` builds from the command's id; once it is done, answer with the status and body of `show`.

    `located`, too, gets the id of the command, and gives the path of what it is about.
    """
    command_id, outcome = await posting.carry_out(commands, make, (Result.REFUSED, Result.DONE))
    location = located(command_id)
    if outcome is None:
        return posting.answer(202, models.Accepted(command_id=command_id, location=location), location)
    if outcome.result is Result.REFUSED:
        text = "the command was refused, nothing was changed"
        raise ApiProblem(_status_of(outcome.errors), text, outcome.errors)
    status, body = await show(outcome)
    return posting.answer(status, body, location)


def _status_of(errors: Sequence[Problem]) -> int:
    codes = {error.code for error in errors}
    if codes & _UNKNOWN:
        return 404
    return 422 if codes & _WRONG else 409
