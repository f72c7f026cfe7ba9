"""Transactions that are not committed, on every adapter of the store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from libs.kernel.errors import Transient
from libs.messaging.store import Store


class Broken(Exception):
    """Something goes wrong inside a transaction."""


@asynccontextmanager
async def rolled_back(store: Store) -> AsyncIterator[Any]:
    """A transaction that fails after its last write."""
    with suppress(Broken):
        async with store.transaction() as transaction:
            yield transaction
            raise Broken


@asynccontextmanager
async def refused(store: Store, error: type[Transient]) -> AsyncIterator[Any]:
    """A transaction that another one is in the way of: at a write or, at the latest, at its commit."""
    try:
        async with store.transaction() as transaction:
            yield transaction
    except error:
        return
    raise AssertionError("the transaction was committed")
