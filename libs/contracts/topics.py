"""The one table of topics: name, key, owner, partitions, retention.

The owner is the service whose contract the topic is: it consumes a topic of `commands` (and answers for every
record in it) and produces a topic of `events`. Partition counts are the unit of scale and are set once.
"""

from dataclasses import dataclass
from typing import Literal

HOUR = 3_600_000
DAY = 24 * HOUR
FOREVER = -1


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the table; `retention_ms` is -1 where records are kept for good."""

    name: str
    key: str
    owner: str
    kind: Literal["commands", "events"]
    partitions: int
    retention_ms: int = 7 * DAY
    compacted: bool = False
    note: str = ""
    outgoing: bool = False
    """Read by outside clients only, so that nothing of it can become a dead letter of ours."""

    @property
    def dead_letters(self) -> str:
        """The topic that takes what could not be read or applied, as it came, with the reason in headers."""
        return f"{self.name}.dlq"


ERP_ORDERS = Topic("erp.orders.v1", "order_id", "projects", "commands", 4, 30 * DAY)
ERP_ORDER_STATUS = Topic("erp.order-status.v1", "order_id", "projects", "events", 4, 30 * DAY, outgoing=True)
PROJECTS_COMMANDS = Topic("projects.commands.v1", "project_id", "projects", "commands", 4)
PROJECTS_EVENTS = Topic("projects.events.v1", "project_id", "projects", "events", 4)

CATALOG_COMMANDS = Topic(
    "catalog.commands.v1",
    "code",
    "catalog",
    "commands",
    1,
    note="one partition: a product published after its recipes, under another key, is read after them",
)
CATALOG_EVENTS = Topic(
    "catalog.events.v1", "code", "catalog", "events", 1, FOREVER, True, "compacted: the live master data"
)
CATALOG_REPLIES = Topic(
    "catalog.replies.v1",
    "project_id",
    "catalog",
    "events",
    4,
    note="answers to the activation saga; apart from the events because those are compacted by code",
)

SNAPSHOT_COMMANDS = Topic("snapshot.commands.v1", "project_id", "snapshot", "commands", 4)
SNAPSHOT_EVENTS = Topic("snapshot.events.v1", "project_id", "snapshot", "events", 4)

TASK_GENERATION_COMMANDS = Topic("task-generation.commands.v1", "project_id", "task_generation", "commands", 4)
TASK_GENERATION_BATCHES = Topic(
    "task-generation.batches.v1",
    "project_id",
    "execution",
    "commands",
    4,
    note="owned by execution, which must store every batch",
)
TASK_GENERATION_EVENTS = Topic("task-generation.events.v1", "project_id", "task_generation", "events", 4)

EXECUTION_COMMANDS = Topic("execution.commands.v1", "project_id", "execution", "commands", 4)
EXECUTION_EVENTS = Topic("execution.events.v1", "project_id", "execution", "events", 4)
EXECUTION_DISPATCH = Topic(
    "execution.dispatch.v1",
    "device_type",
    "execution",
    "commands",
    4,
    HOUR,
    note="wake-ups of the dispatch; the owner of a device type's partition is its only dispatcher",
)

EXECUTION_DEVICE_COMMANDS = Topic(
    "execution.device-commands.v1",
    "device_id",
    "execution",
    "commands",
    4,
    note="operators and planners: hold a device, book it, set its calendar",
)
EXECUTION_DEVICE_EVENTS = Topic("execution.device-events.v1", "device_id", "execution", "events", 4)
EXECUTION_ANSWERS = Topic(
    "execution.answers.v1",
    "project_id",
    "execution",
    "events",
    4,
    HOUR,
    note="answers to questions; apart from the events because nothing has happened",
)

DEVICES_STATUS = Topic("devices.status.v1", "device_id", "execution", "commands", 4, DAY)
DEVICES_REPORTS = Topic("devices.reports.v1", "project_id", "execution", "commands", 4)
DEVICES_TASKS = Topic(
    "devices.tasks.{device_type}.v1",
    "device_id",
    "execution",
    "events",
    4,
    note="one topic a device type, made by catalog before the device type is announced",
    outgoing=True,
)

INSIGHT_EVENTS = Topic("insight.events.v1", "subject", "insight", "events", 4)

TOPICS: tuple[Topic, ...] = tuple(topic for topic in list(vars().values()) if isinstance(topic, Topic))

OWNERS_OF_NO_TOPIC = frozenset({"gateway"})
"""The services that publish on the topics of others only."""

OUR_SOURCES = frozenset(f"/{service}" for service in {topic.owner for topic in TOPICS} | OWNERS_OF_NO_TOPIC)
"""The sources of our own services' messages. Their ids are unique alone, those of others only beside their source."""


def fixed_topics() -> tuple[Topic, ...]:
    """The topics that exist from the start, dead letters not included."""
    return tuple(topic for topic in TOPICS if "{" not in topic.name)


def device_tasks_topic(device_type: str) -> str:
    """The name of the topic on which a device type receives its tasks."""
    return DEVICES_TASKS.name.format(device_type=device_type)
