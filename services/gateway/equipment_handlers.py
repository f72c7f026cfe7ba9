"""What the shop floor tells: devices and their plans, what became of operators' words, answers to questions."""

from collections.abc import Iterable, Sequence

from libs.contracts.by_hand import TaskControlRefused
from libs.contracts.equipment import DeviceControlRefused
from libs.contracts.reservations import CalendarRefused, ReservationCancelRefused, ReservationRefused
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.gateway.domain import outcomes
from services.gateway.domain.equipment import Key, Told, View, newest, view_of
from services.gateway.domain.outcomes import Outcome, TaskWord
from services.gateway.ports import Answer, Answers, Equipment, Outcomes
from services.gateway.questions import QUESTION_PREFIX

FloorRefusal = DeviceControlRefused | ReservationRefused | ReservationCancelRefused | CalendarRefused


class EquipmentProjections:
    """What the gateway makes of it; it sends nothing."""

    def __init__(self, equipment: Equipment, answers: Answers, outcomes: Outcomes) -> None:
        self._equipment = equipment
        self._answers = answers
        self._outcomes = outcomes

    async def on_devices(self, run: Sequence[Incoming[Told | FloorRefusal]], work: Work) -> None:
        told: list[View] = []
        results: list[Outcome] = []
        for message in run:
            site, event, envelope = message.site, message.data, message.envelope
            if isinstance(event, FloorRefusal):
                results.append(outcomes.of_refusal(site, envelope.correlation_id, event))
                continue
            told.append(view_of(site, event, envelope.sequence))
            results.append(outcomes.of_floor(site, envelope.correlation_id, envelope.sequence))
        known = await self._equipment.load(work, {view.key for view in told})
        changed: dict[Key, View] = {}
        for view in told:
            before = known.get(view.key)
            after = newest(before, view)
            if after is not before:
                known[view.key] = changed[view.key] = after
        await self._equipment.save(work, changed.values())
        await self._keep(work, results)

    async def on_tasks(self, run: Sequence[Incoming[TaskWord | TaskControlRefused]], work: Work) -> None:
        """Of what devices have caused nothing is kept."""
        results = (outcomes.of_task(message.site, message.data) for message in run)
        await self._keep(work, (outcome for outcome in results if outcome is not None))

    async def on_answers(self, run: Sequence[Incoming[Answer]], work: Work) -> None:
        ours = [message for message in run if message.envelope.correlation_id.startswith(QUESTION_PREFIX)]
        for site in sorted({message.site for message in ours}):
            answers = {message.envelope.correlation_id: message.data for message in ours if message.site == site}
            await self._answers.save(work, site, answers.items())

    async def _keep(self, work: Work, results: Iterable[Outcome]) -> None:
        await self._outcomes.save(work, outcomes.kept(results, work.now))
