"""Which message goes to which handler."""

from typing import get_args

from libs.contracts import by_hand, catalog, execution, projects, task_generation, topics
from libs.contracts.envelope import peek_cause
from libs.contracts.equipment import TaskReturned
from libs.messaging.records import RawRecord
from libs.messaging.routes import RawSubscription, Subscription
from services.gateway.assignment_handlers import AssignmentProjection
from services.gateway.dead_letter_handlers import DeadLetterProjection
from services.gateway.domain.equipment import Told
from services.gateway.domain.outcomes import TaskWord
from services.gateway.domain.reports import Verdict, is_report
from services.gateway.domain.stories import TaskStory, WorkOrderStory, may_tell_completion, may_tell_failure
from services.gateway.equipment_handlers import EquipmentProjections, FloorRefusal
from services.gateway.handlers import Projections
from services.gateway.ports import Answer
from services.gateway.record_handlers import RecordHandlers, also
from services.gateway.report_handlers import ReportProjection


def routes(
    projections: Projections,
    floor_projections: EquipmentProjections,
    record: RecordHandlers,
    reports: ReportProjection,
    assignments: AssignmentProjection,
) -> tuple[Subscription, ...]:
    of_projects = also(projections.on_projects, record.on_events)
    of_reports = also(also(reports.on_verdicts, assignments.on_ends), record.on_events)
    of_tasks = also(floor_projections.on_tasks, record.on_events)
    return (
        Subscription(
            topics.CATALOG_EVENTS,
            {
                catalog.DeviceTypePublished: projections.on_catalog,
                catalog.RecipePublished: projections.on_catalog,
                catalog.ProductPublished: projections.on_catalog,
                catalog.RecipeRetired: projections.on_catalog,
                catalog.ProductRetired: projections.on_catalog,
                catalog.PublicationRejected: projections.on_catalog,
            },
        ),
        Subscription(
            topics.PROJECTS_EVENTS,
            {
                projects.ProjectChanged: of_projects,
                projects.ProjectProgressed: of_projects,
                projects.ActivationMoved: of_projects,
                projects.ProjectRebased: of_projects,
                projects.OrderRejected: of_projects,
                projects.CommandRefused: of_projects,
            },
        ),
        Subscription(
            topics.EXECUTION_EVENTS,
            {
                execution.StagingProgressed: projections.on_batches,
                execution.TasksStaged: projections.on_batches,
                **dict.fromkeys((*get_args(TaskStory), *get_args(WorkOrderStory)), record.on_events),
                **dict.fromkeys((*get_args(TaskWord), by_hand.TaskControlRefused), of_tasks),
                **dict.fromkeys(get_args(Verdict), of_reports),
                TaskReturned: assignments.on_ends,
            },
            concerns=dict.fromkeys(get_args(Verdict), _answers_report)
            | {execution.TaskCompleted: _concerns_completion, execution.TaskFailed: _concerns_failure},
        ),
        Subscription(
            topics.TASK_GENERATION_EVENTS,
            {task_generation.GenerationPlanned: projections.on_batches},
        ),
        Subscription(
            topics.EXECUTION_DEVICE_EVENTS,
            dict.fromkeys((*get_args(Told), *get_args(FloorRefusal)), floor_projections.on_devices),
        ),
        Subscription(topics.EXECUTION_ANSWERS, dict.fromkeys(get_args(Answer), floor_projections.on_answers)),
    )


def _answers_report(record: RawRecord) -> bool:
    """Whether it answers a report that has come over HTTP."""
    return is_report(peek_cause(record.headers))


def _concerns_completion(record: RawRecord) -> bool:
    return may_tell_completion(record.value or b"") or _answers_report(record)


def _concerns_failure(record: RawRecord) -> bool:
    return may_tell_failure(record.value or b"") or _answers_report(record)


DEAD_LETTERS_AT_ONCE = 50
"""Dead letters in one transaction: each may be as large as a document may be."""


ASSIGNMENTS = r"devices\.tasks\..+\.v1(\.[A-Za-z0-9_-]+)?"
"""The topics on which device types receive their tasks, those of single sites included."""


def raw_routes(dead_letters: DeadLetterProjection, assignments: AssignmentProjection) -> tuple[RawSubscription, ...]:
    """The dead letters of every topic, all by one consumer, and the tasks of every device type by another."""
    names = tuple(topic.dead_letters for topic in topics.fixed_topics() if not topic.outgoing)
    return (
        RawSubscription("dead-letters", names, dead_letters.on_records, DEAD_LETTERS_AT_ONCE),
        RawSubscription(
            "devices.tasks", (), assignments.on_records, pattern=ASSIGNMENTS, concerns=assignments.of_speakers
        ),
    )
