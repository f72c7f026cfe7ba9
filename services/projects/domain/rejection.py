"""Telling that a message was refused; nothing else happens with it."""

from collections.abc import Iterable
from datetime import datetime

from libs.contracts.base import Problem
from libs.contracts.erp import OrderRejected
from libs.contracts.projects import CommandRefused
from libs.contracts.projects import OrderRejected as OrderRejectedEvent
from services.projects.domain.project import Out


def reject(order_id: str, revision: int, problems: Iterable[Problem], now: datetime) -> list[Out]:
    """To the ERP, and to the operators."""
    errors = tuple(problems)
    return [
        Out(OrderRejected(order_id=order_id, revision=revision, project_id=None, at=now, errors=errors)),
        Out(OrderRejectedEvent(order_id=order_id, revision=revision, at=now, errors=errors)),
    ]


def refuse(project_id: str, command: str, problems: Iterable[Problem], now: datetime) -> list[Out]:
    """To the operator whose command it was."""
    return [Out(CommandRefused(project_id=project_id, command=command, at=now, errors=tuple(problems)))]
