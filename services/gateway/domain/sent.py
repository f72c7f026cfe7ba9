"""Commands that clients have sent: what each was, and how far it has come."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from libs.contracts.base import Data, Message
from libs.contracts.erp import OrderRequested
from services.gateway.domain.outcomes import Outcome, Result
from services.gateway.domain.projects import AskedOrder


class CommandState(StrEnum):
    """How far a command has come, as its sender is told."""

    SENT = "SENT"
    """On its way; nothing was heard of it."""
    ACCEPTED = "ACCEPTED"
    """Taken, and not yet done."""
    DONE = "DONE"
    REFUSED = "REFUSED"
    """Nothing was changed, or what was changed was undone."""


class SentCommand(Data):
    """A command as it was sent; any of the `results` ends it, and counts before those behind it."""

    site: str
    command_id: str
    type: str
    subject: str
    location: str
    sent_at: datetime
    results: tuple[Result, ...]
    order: AskedOrder | None = None


def sent_command(
    site: str, command_id: str, message: Message, location: str, results: Sequence[Result], at: datetime
) -> SentCommand:
    return SentCommand(
        site=site,
        command_id=command_id,
        type=message.TYPE,
        subject=message.subject,
        location=location,
        sent_at=at,
        results=tuple(results),
        order=AskedOrder.of(message) if isinstance(message, OrderRequested) else None,
    )


def awaited(command: SentCommand) -> Sequence[Result]:
    """The results that say how far the command is, the most telling first."""
    return (*command.results, *(each for each in (Result.TAKEN,) if each not in command.results))


def state_after(command: SentCommand, outcome: Outcome | None) -> CommandState:
    """`outcome`: the first of those `awaited`."""
    if outcome is None:
        return CommandState.SENT
    if outcome.result in (Result.REFUSED, Result.FAILED):
        return CommandState.REFUSED
    return CommandState.DONE if outcome.result in command.results else CommandState.ACCEPTED
