"""Is a report to be counted? Judged by fence, device and state; the reason is told when it is not."""

from libs.contracts.devices import Report, TaskStarted
from libs.contracts.execution import IgnoredReason
from services.execution.orders.domain.task import Task, TaskState


def ignored(task: Task | None, report: Report, site: str) -> IgnoredReason | None:
    """Why the report moves nothing; None when it counts.

    A report with an old fence counts only when nobody holds a newer lease and the task is not done: the device was
    slow or out of reach, the work was done all the same, and nobody else has begun it.
    """
    if task is None or task.site != site or task.project_id != report.project_id:
        return IgnoredReason.UNKNOWN_TASK
    if report.fence > task.fence:
        return IgnoredReason.NOT_LEASED
    if report.fence == task.fence:
        return _of_the_newest_lease(task, report)
    if task.state.done or task.state.live or report.fence <= task.closed_fence or isinstance(report, TaskStarted):
        return IgnoredReason.STALE_FENCE
    return None


def _of_the_newest_lease(task: Task, report: Report) -> IgnoredReason | None:
    if task.state is TaskState.BLOCKED:
        return IgnoredReason.NOT_LEASED
    if task.state in {TaskState.COMPLETED, TaskState.FAILED} or report.fence <= task.closed_fence:
        return IgnoredReason.DUPLICATE
    if task.device_id != report.device_id:
        return IgnoredReason.WRONG_DEVICE
    if task.state in {TaskState.CANCELLED, TaskState.HELD}:
        return IgnoredReason.NOT_LEASED
    if isinstance(report, TaskStarted) and task.state is not TaskState.LEASED:
        return IgnoredReason.DUPLICATE if task.state is TaskState.RUNNING else IgnoredReason.NOT_LEASED
    return None
