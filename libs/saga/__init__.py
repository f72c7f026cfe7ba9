"""Sagas as tables: a definition that a reader takes in at a glance, and a small pure engine that runs it."""

from libs.saga.definition import Definition, Step
from libs.saga.engine import Saga, SagaStatus, Sent, abort, advance, expire, retry_undo, skip_undo, start

__all__ = [
    "Definition",
    "Saga",
    "SagaStatus",
    "Sent",
    "Step",
    "abort",
    "advance",
    "expire",
    "retry_undo",
    "skip_undo",
    "start",
]
