"""The three beats, for a whole run of messages at once: load, decide, save and send."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, assert_never

import pydantic_core

from libs.contracts.base import Problem
from libs.contracts.catalog import (
    PublishDeviceType,
    PublishProduct,
    PublishRecipe,
    ResolveOrder,
    RetireProduct,
    RetireRecipe,
)
from libs.contracts.envelope import Unreadable
from libs.contracts.reading import sentence
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.catalog.domain import publishing, resolving
from services.catalog.domain.entries import Entry, Key, Kind
from services.catalog.domain.publishing import Outcome, Publish, Retire, Said
from services.catalog.ports import DeviceTopics, MasterData

LONGEST_CODE_ANSWERED = 256
"""Characters of an invalid code that are still worth an answer under it."""

_KINDS = {
    PublishDeviceType.TYPE: Kind.DEVICE_TYPE,
    PublishRecipe.TYPE: Kind.RECIPE,
    RetireRecipe.TYPE: Kind.RECIPE,
    PublishProduct.TYPE: Kind.PRODUCT,
    RetireProduct.TYPE: Kind.PRODUCT,
}
_CODES = {Kind.DEVICE_TYPE: "device_type", Kind.RECIPE: "recipe_code", Kind.PRODUCT: "product_code"}
_RETIRES = {RetireRecipe.TYPE, RetireProduct.TYPE}

Command = Publish | Retire | ResolveOrder


class CatalogHandlers:
    """Master data in, its versions out; and what an order's codes stand for."""

    def __init__(self, master_data: MasterData, device_topics: DeviceTopics) -> None:
        self._master_data = master_data
        self._device_topics = device_topics

    async def on_commands(self, run: Sequence[Incoming[Any]], work: Work) -> None:
        """All of the topic, whatever the type, so that a batch is one run and later messages see what earlier did."""
        commands = [(_command(message), message) for message in run]
        known = await self._load(commands, work)
        topic_problems = await self._ensure_topics([command for command, _ in commands])

        changed: dict[str, dict[Key, Entry]] = defaultdict(dict)
        versions: dict[str, list[Entry]] = defaultdict(list)
        for command, message in commands:
            entries = known[message.site]
            outcome = _decide(entries, command, topic_problems)
            if outcome.entry is not None:
                entries[outcome.entry.key] = changed[message.site][outcome.entry.key] = outcome.entry
                if outcome.is_new_version:
                    versions[message.site].append(outcome.entry)
            for said in outcome.said:
                work.send(said.message, message.cause, sequence=said.sequence)
        await self._master_data.save(work, {site: [*each.values()] for site, each in changed.items()}, versions)

    async def _load(self, commands: Sequence[tuple[Command, Incoming[Any]]], work: Work) -> dict[str, dict[Key, Entry]]:
        """One read for all that the run names; then what its orders need: recipes of products, and device types."""
        wanted: dict[str, set[Key]] = defaultdict(set)
        for command, message in commands:
            if isinstance(command, ResolveOrder):
                wanted[message.site] |= resolving.asks_for(command)
            else:
                wanted[message.site] |= publishing.asks_for(command)
        known: dict[str, dict[Key, Entry]] = defaultdict(dict, await self._master_data.load(work, wanted))
        further: dict[str, set[Key]] = defaultdict(set)
        for command, message in commands:
            if isinstance(command, ResolveOrder):
                further[message.site] |= resolving.asks_then(known[message.site], command) - wanted[message.site]
        await self._load_further(known, further, work)
        at_last = {site: resolving.asks_at_last(known[site]) - known[site].keys() for site in further}
        await self._load_further(known, at_last, work)
        return known

    async def _load_further(
        self, known: dict[str, dict[Key, Entry]], wanted: Mapping[str, Collection[Key]], work: Work
    ) -> None:
        if any(wanted.values()):
            for site, entries in (await self._master_data.load(work, wanted)).items():
                known[site] |= entries

    async def _ensure_topics(self, commands: Sequence[Command]) -> Mapping[str, Problem]:
        """A device type's topic is there before anybody hears of it; also for one that is known, in case it is gone."""
        codes = {
            command.key.code
            for command in commands
            if isinstance(command, Publish) and command.key.kind is Kind.DEVICE_TYPE and not command.problems
        }
        refused = await self._device_topics.ensure(codes) if codes else {}
        return {
            code: Problem(code="NO_TOPIC", path="device_type", message=f"its task topic cannot be had: {reason}")
            for code, reason in refused.items()
        }


def _decide(entries: Mapping[Key, Entry], command: Command, topic_problems: Mapping[str, Problem]) -> Outcome:
    match command:
        case Publish(key=Key(kind=Kind.DEVICE_TYPE, code=code)):
            return publishing.publish(entries, command, topic_problems.get(code))
        case Publish():
            return publishing.publish(entries, command)
        case Retire():
            return publishing.retire(entries, command)
        case ResolveOrder():
            return Outcome((Said(resolving.resolve(entries, command)),))
        case _:
            assert_never(command)


def _command(message: Incoming[Any]) -> Command:
    """What the message asks for, also when its data breaks the contract, as long as a code to answer under is there.

    Raises:
        Unreadable: nobody can be told; the message is a dead letter.
    """
    if isinstance(message.data, ResolveOrder) and not message.problems:
        return message.data
    kind = _KINDS.get(message.envelope.type)
    # Not as JSON yet: that would turn numbers without end into null before anybody has complained of them.
    body = pydantic_core.from_json(message.body) if message.problems else message.data.model_dump(exclude_none=True)
    code = body.get(_CODES[kind]) if kind is not None else None
    if kind is None or not isinstance(code, str) or not 1 <= len(code) <= LONGEST_CODE_ANSWERED:
        raise Unreadable(f"{message.envelope.type}: {sentence(message.problems)}", message.problems)
    if message.envelope.type in _RETIRES:
        return Retire(Key(kind, code), message.problems)
    return Publish(Key(kind, code), body, message.problems)
