"""Commands to the shop floor: sent, and answered with what came of them."""

from collections.abc import Awaitable, Callable, Sequence

from pydantic import BaseModel
from starlette.responses import Response

from libs.contracts.base import Message, Problem
from services.gateway.api import answers
from services.gateway.api.posting import Posting
from services.gateway.commands import Command, Commands
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
    carried = await posting.carry_out(commands, Command(make, located, (Result.REFUSED, Result.DONE)))
    outcome = carried.outcome
    if outcome is None:
        return carried.accepted()
    if outcome.result is Result.REFUSED:
        raise carried.problem(_status_of(outcome.errors), "the command was refused, nothing was changed")
    status, body = await show(outcome)
    return carried.answer(status, body)


def _status_of(errors: Sequence[Problem]) -> int:
    codes = {error.code for error in errors}
    if codes & _UNKNOWN:
        return 404
    return 422 if codes & _WRONG else 409
