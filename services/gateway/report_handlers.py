"""What became of reports that devices have sent over HTTP."""

from collections.abc import Sequence

from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.gateway.domain import reports
from services.gateway.domain.reports import Verdict
from services.gateway.ports import Outcomes


class ReportProjection:
    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes

    async def on_verdicts(self, run: Sequence[Incoming[Verdict]], work: Work) -> None:
        """Of reports that have come over Kafka nothing is kept."""
        found = (
            reports.of_report(message.site, message.envelope.causation_id, message.data, work.now)
            for message in run
            if isinstance(message.data, Verdict)
            and message.envelope.causation_id is not None
            and reports.is_report(message.envelope.causation_id)
        )
        await self._outcomes.save(work, reports.kept(found))
