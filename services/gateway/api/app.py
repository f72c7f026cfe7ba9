"""The HTTP application: the routes that every process has, and the API beside them."""

from typing import Any

from fastapi import APIRouter

from services.gateway.api import PREFIX, docs, problems
from services.gateway.api.answers import READING
from services.gateway.api.assignments import assignments_router
from services.gateway.api.catalog import RESOURCES, catalog_router
from services.gateway.api.commands import commands_router
from services.gateway.api.dead_letters import dead_letters_router
from services.gateway.api.device_messages import device_messages_router
from services.gateway.api.device_types import device_types_router
from services.gateway.api.devices import devices_router
from services.gateway.api.openapi import DESCRIPTION, TAGS, TITLE, Api
from services.gateway.api.planning import calendar_router, reservations_router
from services.gateway.api.projects import projects_router
from services.gateway.api.showing import Showing, ShowingEquipment
from services.gateway.api.steering import steering_router
from services.gateway.api.stream import stream_router
from services.gateway.api.task_lists import task_lists_router
from services.gateway.api.tasks import tasks_router
from services.gateway.api.timeline import timeline_router
from services.gateway.api.webhooks import webhooks_router
from services.gateway.assignments import AssignmentStream
from services.gateway.commands import Commands
from services.gateway.dead_letter_commands import DeadLetterCommands
from services.gateway.device_messages import DeviceMessages
from services.gateway.live import Live
from services.gateway.ports import Assignments, Changes, ReadModels
from services.gateway.questions import Questions
from services.gateway.webhook_commands import WebhookCommands


def make_app(
    kernel_routes: list[Any],
    read: ReadModels,
    commands: Commands,
    questions: Questions,
    dead_letters: DeadLetterCommands,
    devices: DeviceMessages,
    assignments: Assignments,
    following: AssignmentStream,
    changes: Changes,
    live: Live,
    webhooks: WebhookCommands,
) -> Api:
    """A new resource is a router in this package, a line here, and the scopes of its routes in `caller.SCOPES`."""
    app = Api(
        title=TITLE,
        version="1",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        routes=[*kernel_routes, *docs.routes(TITLE)],
        docs_url=None,  # FastAPI's own pages load their scripts from a foreign host
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name.replace(" ", "_"),
    )
    app.state.changes = changes
    problems.install(app)
    api = APIRouter(prefix=PREFIX, responses=READING)
    for resource in RESOURCES:
        api.include_router(catalog_router(resource, read, commands))
    showing, equipment = Showing(read.projects, read.staged), ShowingEquipment(read.equipment)
    api.include_router(device_types_router(read, commands))
    api.include_router(projects_router(read.projects, showing, commands))
    api.include_router(timeline_router(read.record, showing))
    api.include_router(steering_router(showing, commands))
    api.include_router(commands_router(read.projects, commands))
    api.include_router(task_lists_router(showing, questions))
    api.include_router(tasks_router(read.projects, questions, commands))
    api.include_router(devices_router(equipment, commands))
    api.include_router(device_messages_router(devices))
    api.include_router(assignments_router(assignments, following))
    api.include_router(reservations_router(equipment, read.projects, commands))
    api.include_router(calendar_router(equipment, commands))
    api.include_router(dead_letters_router(read.dead_letters, dead_letters))
    api.include_router(stream_router(live))
    api.include_router(webhooks_router(webhooks))
    app.include_router(api)
    return app
