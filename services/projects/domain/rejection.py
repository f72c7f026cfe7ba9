"""Refusals of a message: the sender is told why, and the project stays as it is."""

from collections.abc import Iterable
from datetime import datetime

from libs.contracts.base import Problem
from libs.contracts.erp import OrderRejected
from libs.contracts.projects import CommandRefused
from libs.contracts.projects import OrderRejected as OrderRejectedEvent
from services.projects.domain.decision import Decision
from services.projects.domain.project import Out


def reject(
    order_id: str, revision: int, problems: Iterable[Problem], now: datetime, *, answers: str | None = None
) -> Decision:
    """Tell the ERP and the operators; `answers` is the id of the ERP's message when it is not the one in hand."""
    errors = tuple(problems)
    rejected = OrderRejected(order_id=order_id, revision=revision, project_id=None, at=now, errors=errors)
    event = OrderRejectedEvent(order_id=order_id, revision=revision, at=now, errors=errors)
    return Decision(messages=(Out(rejected, answers=answers), Out(event, answers=answers)))


def refuse(project_id: str, command: str, problems: Iterable[Problem], now: datetime) -> Decision:
    """Tell the operator whose command it was."""
    refused = CommandRefused(project_id=project_id, command=command, at=now, errors=tuple(problems))
    return Decision(messages=(Out(refused),))
