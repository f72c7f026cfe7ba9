"""Dead letters of every topic, taken in as they come."""

from collections.abc import Sequence
from datetime import datetime

from libs.contracts import dead_letters
from libs.messaging.records import Illegible, RawRecord, place_of
from libs.messaging.work import Work
from services.gateway.domain.dead_letters import LetterView, view_of
from services.gateway.ports import DeadLetters


class DeadLetterProjection:
    """Keeps what lies on the topics of dead letters; `prefix` is that of all topics of the deployment."""

    def __init__(self, letters: DeadLetters, prefix: str) -> None:
        self._letters = letters
        self._prefix = prefix

    async def on_records(self, run: Sequence[RawRecord], work: Work) -> None:
        await self._letters.add(work, [self._view(record, work.now) for record in run])

    def _view(self, record: RawRecord, now: datetime) -> LetterView:
        found = dead_letters.DeadLetter.of(record, self._prefix)
        if isinstance(record, Illegible):
            found = found.with_reason(f"no client of Kafka can read the record: {record.error}", now)
        return view_of(found, place_of(record), now)
