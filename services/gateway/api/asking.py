"""Answers of the shop floor to questions, or the problem that there is none."""

from collections.abc import Awaitable
from typing import TypeVar

from services.gateway.api.problems import RETRY_AFTER_SECONDS, ApiProblem
from services.gateway.commands import Unconfirmed

T = TypeVar("T")

_RETRY = {"Retry-After": RETRY_AFTER_SECONDS}


async def answered(asked: Awaitable[T | None]) -> T:
    """The answer; 503 when the question could not be sent, 504 when no answer came in time."""
    try:
        answer = await asked
    except Unconfirmed:
        raise ApiProblem(503, "Kafka does not answer now, the shop floor was not asked", headers=_RETRY) from None
    if answer is None:
        raise ApiProblem(504, "the shop floor did not answer in time", headers=_RETRY)
    return answer
