"""The three beats, for a whole run of messages at once: load, decide, save and send."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pydantic_core

from libs.contracts.task_generation import CancelGeneration, GenerateTasks
from libs.kernel.errors import Permanent
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.task_generation.domain.generating import cancel, failed, generate
from services.task_generation.domain.plans import Plan
from services.task_generation.ports import Plans


class GenerationHandlers:
    """Plans and their undo."""

    def __init__(self, plans: Plans, most_batches: int) -> None:
        self._plans = plans
        self._most_batches = most_batches

    async def on_commands(self, run: Sequence[Incoming[GenerateTasks | CancelGeneration]], work: Work) -> None:
        generations: dict[str, set[str]] = defaultdict(set)
        activations: dict[str, set[str]] = defaultdict(set)
        for message in run:
            activations[message.site].add(message.data.activation_id)
            if isinstance(message.data, GenerateTasks):
                generations[message.site].add(message.data.generation_id)
        known = await self._plans.load(work, generations)
        cancelled = await self._plans.cancelled(work, activations)

        added: dict[str, list[Plan]] = defaultdict(list)
        needed: dict[str, set[str]] = defaultdict(set)
        tombstones: dict[str, set[str]] = defaultdict(set)
        for message in run:
            site, command = message.site, message.data
            is_cancelled = command.activation_id in cancelled[site]
            if isinstance(command, GenerateTasks):
                outcome = generate(
                    known[site].get(command.generation_id),
                    command,
                    cancelled=is_cancelled,
                    most_batches=self._most_batches,
                )
                if outcome.again:
                    needed[site].add(command.generation_id)
            else:
                outcome = cancel(command)
                if not is_cancelled:
                    cancelled[site].add(command.activation_id)
                    tombstones[site].add(command.activation_id)
            if outcome.plan is not None:
                known[site][outcome.plan.generation_id] = outcome.plan
                added[site].append(outcome.plan)
            for said in outcome.said:
                work.send(said.message, message.cause, id_=said.id)
        await self._plans.add(work, added)
        await self._plans.keep_longer(work, needed)
        await self._plans.cancel(work, tombstones)

    async def on_invalid(self, run: Sequence[Incoming[Any]], work: Work) -> None:
        """What breaks the contract fails, as long as it says for whom; else it is a dead letter."""
        for message in run:
            body = pydantic_core.from_json(message.body)
            ids = body.get("activation_id"), body.get("project_id")
            if message.envelope.type != GenerateTasks.TYPE or not all(isinstance(id_, str) and id_ for id_ in ids):
                raise Permanent("; ".join(f"{problem.path or '$'}: {problem.message}" for problem in message.problems))
            work.send(failed(*ids, message.problems), message.cause)
