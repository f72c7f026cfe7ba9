"""Sagas as tables: a definition lists the steps, and a small pure engine runs it."""

from libs.saga.definition import Definition, Definitions, NewerDefinition, Step, UnknownDefinition
from libs.saga.engine import Saga, SagaStatus, Sent, abort, advance, can_abort, expire, retry_undo, skip_undo, start

__all__ = [
    "Definition",
    "Definitions",
    "NewerDefinition",
    "Saga",
    "SagaStatus",
    "Sent",
    "Step",
    "UnknownDefinition",
    "abort",
    "advance",
    "can_abort",
    "expire",
    "retry_undo",
    "skip_undo",
    "start",
]
