"""Steps that make several pieces at once: what a device says is cumulative under its fence, so only growth counts."""

from libs.contracts import execution
from libs.contracts.devices import Outcome, TaskCompleted
from services.execution.orders.domain.task import Pieces, Task, TaskState
from services.execution.progress.domain.outcomes import attempt_failed, completed_event, completed_well
from services.execution.progress.domain.work_in_hand import Reported, WorkInHand


def told(task: Task, report: TaskCompleted, wanted: int) -> Pieces | None:
    """The pieces after the report; None when it speaks of all that was asked for.

    Scrap says that what is not good of it is lost. Nothing is believed beyond what was asked for.
    """
    if wanted == 1 or report.outcome is Outcome.REWORK:
        return None
    if report.pieces_good is None and report.pieces_scrapped is None:
        return None
    before = task.pieces.under(report.fence)
    asked = wanted - before.earlier
    good = min(max(before.good, report.pieces_good or 0), asked)
    scrapped = min(max(before.scrapped, report.pieces_scrapped or 0), asked - good)
    if report.outcome is Outcome.SCRAP:
        scrapped = asked - good
    return before._replace(good=good, scrapped=scrapped)


def moves(task: Task, report: TaskCompleted, pieces: Pieces, wanted: int) -> execution.IgnoredReason | None:
    """Why the report moves nothing; None when it does."""
    if report.fence < task.pieces.fence:
        return execution.IgnoredReason.STALE_FENCE
    if pieces == task.pieces.under(report.fence) and _missing(pieces, wanted):
        return execution.IgnoredReason.DUPLICATE
    return None


def made(hand: WorkInHand, task: Task, pieces: Pieces, wanted: int, reported: Reported) -> None:
    """Some pieces more. With all of them good the step is done; with scrap among them the rest is to be made anew."""
    before = task.pieces.under(pieces.fence)
    facts = {"pieces_good": pieces.good - before.good, "pieces_scrapped": pieces.scrapped - before.scrapped}
    counted = task.but(pieces=pieces)
    if _missing(pieces, wanted):
        goes_on = counted.moved_to(TaskState.RUNNING if task.state.live else task.state)
        hand.put(goes_on)
        id_ = f"{task.id}#{reported.report.fence}/{pieces.good}+{pieces.scrapped}"
        hand.record(goes_on, reported, "PIECES", False, id_=id_, **facts)
        _progressed(hand, goes_on, wanted, reported)
    elif not pieces.scrapped:
        done = completed_well(hand, counted, reported, **facts)
        hand.send(completed_event(hand, done, reported), reported.cause)
    else:
        _progressed(hand, counted, wanted, reported)
        retry = task.attempt < hand.routing(task).steps[task.step].max_attempts
        retry_at = reported.now if retry else None
        reason = f"{pieces.scrapped} of {wanted} pieces were scrapped"
        place = hand.report_fields(task, reported)
        failed = execution.TaskFailed(**place, device_type=task.device_type, reason=reason, retry_at=retry_at)
        hand.send(failed, reported.cause)
        attempt_failed(hand, counted, reported, reason, retry_at, **facts)


def _missing(pieces: Pieces, wanted: int) -> bool:
    """Of those asked for under this fence, some are neither good nor scrapped yet."""
    return pieces.earlier + pieces.good + pieces.scrapped < wanted


def _progressed(hand: WorkInHand, task: Task, wanted: int, reported: Reported) -> None:
    progressed = execution.TaskProgressed(
        **hand.report_fields(task, reported),
        device_type=task.device_type,
        pieces=wanted,
        pieces_good=task.pieces.earlier + task.pieces.good,
        pieces_scrapped=task.pieces.scrapped,
    )
    hand.send(progressed, reported.cause)
