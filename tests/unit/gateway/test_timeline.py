"""The story of a project: what is told of it, by whom, and in which order."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from libs.contracts.base import Message, dump
from libs.contracts.by_hand import Correction, TaskCorrected, TaskRetried
from libs.contracts.devices import Outcome
from libs.contracts.execution import (
    ControlRequest,
    TaskCompleted,
    TaskFailed,
    WorkOrderAdmitted,
    WorkOrderCancelled,
    WorkOrderHalted,
    WorkOrderPaused,
)
from libs.contracts.projects import ProjectState
from libs.kernel.clock import rfc3339
from libs.messaging.decode import decode
from libs.messaging.records import Cause, Incoming, encode
from services.gateway.domain.record import LARGEST_DATA, Entry, placed
from services.gateway.domain.stories import may_tell_completion, may_tell_failure
from tests.harness import Raw
from tests.unit.gateway.asking import codes, get
from tests.unit.gateway.equipment import PO_1, place, task_held, task_refused, task_released
from tests.unit.gateway.world import (
    NOON,
    World,
    incoming,
    moved,
    problem,
    progress,
    project,
    rebased,
    refusal,
    rejection,
)

TIMELINE = f"/projects/{PO_1}/timeline"
ERP = ControlRequest(by="erp", command="cancel")


def told(
    message: Message, id_: str, cause: str | None = None, *, minutes: float = 0, site: str = "main", sequence: int = 1
) -> Incoming[Any]:
    """An event, by its id, its cause's, and the minutes after noon at which it was sent."""
    at = NOON + timedelta(minutes=minutes)
    by = Cause(site, "order-1", cause, f"00-{'a' * 32}-{'b' * 16}-01")
    return incoming(encode(message, by, "/test", id_=id_, time=at, sequence=sequence))


def completed(outcome: Outcome = Outcome.GOOD, request_id: str | None = None, **more: Any) -> TaskCompleted:
    fields = place(request_id) | {"device_id": "W-1"} | more
    return TaskCompleted(**fields, outcome=outcome, expected_seconds=1, device_type="WELDER", reason="bent")


def failed(retry_at: datetime | None = None) -> TaskFailed:
    return TaskFailed(**place(None) | {"device_id": "W-1"}, device_type="WELDER", reason="jammed", retry_at=retry_at)


async def story(world: World, limit: int = 200, site: str = "main", **query: Any) -> list[dict[str, Any]]:
    """All pages."""
    page = (await get(world, TIMELINE, site, limit=limit, **query)).json()
    entries: list[dict[str, Any]] = page["items"]
    while page["next"]:
        page = (await get(world, TIMELINE, site, limit=limit, cursor=page["next"], **query)).json()
        entries += page["items"]
    return entries


async def ids(world: World, **query: Any) -> str:
    return " ".join([each["id"] for each in await story(world, **query)])


async def test_an_entry_says_what_who_and_from_which_message(world: World) -> None:
    await world.take([told(project(), "m-1", "erp-1")])
    held = task_held("cmd-1")
    await world.take([told(held, "m-2", "cmd-1", minutes=1, sequence=7)])

    made, stopped = await story(world)
    assert made["text"] == "The project was made: ordered"
    assert stopped == {
        "id": "m-2",
        "at": rfc3339(NOON + timedelta(minutes=1)),
        "type": "execution.task.held.v1",
        "text": "Step 2 of execution 1 of FRAME in line 10 is held: bent",
        "by": "m",
        "sequence": 7,
        "correlation_id": "order-1",
        "causation_id": "cmd-1",
        "trace_id": "a" * 32,
        "data": held.model_dump(mode="json", exclude_none=True),
    }


STORIES: list[tuple[Message, str, str | None]] = [
    (project(state=ProjectState.ACTIVATING, previous=ProjectState.PLANNING), "PLANNING → ACTIVATING: ordered", None),
    (project(previous=ProjectState.PLANNING, cause="changed"), "changed", None),
    (
        project(previous=ProjectState.ACTIVATING, cause="activation failed", errors=(problem("A"), problem("B"))),
        "ACTIVATING → PLANNING: activation failed: A, for a reason (and 1 more)",
        None,
    ),
    (moved(step="admit"), "The activation waits for admit", None),
    (moved(step="freeze", status="COMPENSATING"), "The activation is undone: freeze", None),
    (moved(step="freeze", status="STUCK"), "The undo of freeze is stuck", None),
    (moved(step="release", status="SUCCEEDED"), "The activation succeeded", None),
    (moved(step="admit", status="COMPENSATED"), "The activation was undone, nothing is left of it", None),
    (rebased(), "Rebased, 1 recipes changed: recall", "m.keller"),
    (refusal(PO_1), "The command activate was refused: NOT_ALLOWED, for a reason", None),
    (rejection("REVISION_CONFLICT"), "Revision 1 was rejected: REVISION_CONFLICT, for a reason", None),
    (task_released("cmd-1"), "was released: straight again", "m"),
    (TaskRetried(**place("cmd-1"), reason="again"), "is tried again: again", "m"),
    (
        TaskCorrected(
            **place("cmd-1"), reason="seam", previous=Correction.GOOD, outcome=Correction.SCRAP, reverses="f"
        ),
        "was corrected from GOOD to SCRAP: seam",
        "m",
    ),
    (completed(Outcome.SCRAP), "was scrapped: bent", "W-1"),
    (completed(Outcome.REWORK), "goes back to rework: bent", "W-1"),
    (completed(request_id="cmd-1"), "was completed: bent", "m"),
    (failed(), "failed for good: jammed", "W-1"),
    (
        WorkOrderAdmitted(activation_id="a", project_id=PO_1, warnings=(problem("NO_DEVICE"),)),
        "The shop floor took the order in: NO_DEVICE, for a reason",
        None,
    ),
    (WorkOrderPaused(project_id=PO_1, request=ERP), "Nothing new of it is dispatched", "erp"),
    (
        WorkOrderCancelled(project_id=PO_1, request=ERP, reason="withdrawn", lines=()),
        "Cancelled on the shop floor: withdrawn",
        "erp",
    ),
    (
        WorkOrderHalted(
            project_id=PO_1,
            order_id="PO-1",
            code="REPLACEMENT_LIMIT",
            line_id="10",
            recipe_code="FRAME",
            message="too many replacements",
        ),
        "Halted: too many replacements",
        None,
    ),
]


@pytest.mark.parametrize(
    ("event", "text", "by"), STORIES, ids=[f"{n} {text[:30]}" for n, (_, text, _) in enumerate(STORIES)]
)
async def test_what_an_event_says(world: World, event: Message, text: str, by: str | None) -> None:
    await world.take([told(project(), "m-0")])
    await world.take([told(event, "m-1", minutes=1)])

    entry = (await story(world))[-1]
    assert entry["id"] == "m-1"
    assert entry["text"].endswith(text)
    assert entry["by"] == by


async def test_what_goes_well_is_not_told(world: World) -> None:
    await world.take([told(project(), "m-0")])
    for event in (completed(), failed(NOON), progress(3), task_refused("cmd-1")):
        await world.take([told(event, "m-1", minutes=1)])

    assert await ids(world) == "m-0"


def test_most_of_what_goes_well_is_known_by_its_bytes(world: World) -> None:
    [subscription] = [each for each in world.subscriptions if each.topic == TaskCompleted.TOPIC]
    loud = completed(measurements={"note": '"retry_at":"', "by": "nobody"})
    events = [completed(), failed(NOON), completed(Outcome.SCRAP), completed(request_id="c"), loud, failed()]
    records = [encode(each, Cause(), "/test") for each in events]
    raw = [Raw(each.topic, each.key, each.value, each.headers) for each in records]

    assert [each.data for each in decode(raw, subscription).messages] == events[2:]
    assert [may_tell_completion(dump(each)) for each in (completed(), completed(Outcome.REWORK))] == [False, True]
    assert [may_tell_failure(dump(each)) for each in (failed(NOON), failed())] == [False, True]


async def test_an_event_stands_behind_its_cause_whatever_the_clocks_say(world: World) -> None:
    await world.take([told(project(), "m-0", minutes=5), told(moved(), "m-1", "m-0", minutes=4)])
    await world.take([told(refusal(PO_1), "m-2", minutes=4.5)])

    assert await ids(world) == "m-2 m-0 m-1"
    assert await ids(world, sort="-at") == "m-1 m-0 m-2"


async def test_a_cause_that_comes_later_moves_its_effects_and_theirs(world: World) -> None:
    await world.take([told(project(), "m-0")])
    admitted = WorkOrderAdmitted(activation_id="a", project_id=PO_1)
    await world.take([told(moved(), "m-3", "m-2", minutes=1), told(moved(), "m-4", "m-3", minutes=2)])
    await world.take([told(refusal(PO_1), "m-9", minutes=9)])
    await world.take([told(admitted, "m-2", "m-1", minutes=3)])

    assert await ids(world) == "m-0 m-2 m-3 m-4 m-9"
    assert await ids(world, limit=1) == "m-0 m-2 m-3 m-4 m-9"
    assert await ids(world, limit=1, sort="-at") == "m-9 m-4 m-3 m-2 m-0"


async def test_events_of_one_moment_stay_in_their_order(world: World) -> None:
    names = ["m-9", "m-5", "m-7", "m-1", "m-0"]
    await world.take([told(project(), name, sequence=n) for n, name in enumerate(names[:2])])
    await world.take([told(project(), name, sequence=n) for n, name in enumerate(names[1:4])])
    await world.take([told(project(), name, sequence=n) for n, name in enumerate(names[4:])])

    assert await ids(world) == " ".join(names)


async def test_the_same_event_twice_is_told_once(world: World) -> None:
    for _ in range(2):
        await world.take([told(project(), "m-0"), told(moved(), "m-1", "m-0")])

    assert await ids(world) == "m-0 m-1"


async def test_rejections_of_what_is_no_project_are_not_kept(world: World) -> None:
    await world.take([told(rejection("UNKNOWN_PRODUCT"), "m-0"), told(refusal(PO_1, "UNKNOWN_PROJECT"), "m-1")])
    await world.take([told(project(), "m-2")])

    assert await ids(world) == "m-2"


async def test_long_lists_are_left_out(world: World) -> None:
    await world.take([told(project(), "m-0"), told(rebased(recipes=11), "m-1")])
    measurements = {"curve": "x" * LARGEST_DATA}
    await world.take([told(completed(Outcome.SCRAP, measurements=measurements), "m-2", minutes=1)])

    _, changed, scrapped = [each["data"] for each in await story(world)]
    assert ("changes" in changed, changed["reason"]) == (False, "recall")
    assert ("measurements" in scrapped, scrapped["reason"]) == (False, "bent")


async def test_sites_do_not_meet(world: World) -> None:
    await world.take([told(project(), "m-0"), told(moved(), "m-1", site="other")])

    assert await ids(world) == "m-0"
    assert codes(await get(world, TIMELINE, "other")) == [("UNKNOWN_PROJECT", "path.project_id")]


async def test_a_cursor_holds_for_its_project_and_order_alone(world: World) -> None:
    await world.take([told(project(), "m-0"), told(moved(), "m-1"), told(project("PO-2"), "m-2")])
    cursor = (await get(world, TIMELINE, limit=1)).json()["next"]
    other = TIMELINE.replace(PO_1, project("PO-2").project_id)

    assert (await get(world, TIMELINE, cursor=cursor)).json()["items"][0]["id"] == "m-1"
    for answer in (await get(world, TIMELINE, cursor=cursor, sort="-at"), await get(world, other, cursor=cursor)):
        assert codes(answer) == [("INVALID_CURSOR", "query.cursor")]


def entry(id_: str, position: int, cause: str | None) -> Entry:
    ids: dict[str, Any] = {"site": "main", "project_id": "P", "correlation_id": "c"}
    return Entry(id=id_, position=position, causation_id=cause, at=NOON, type="t", text="", **ids)


@pytest.mark.parametrize(
    ("new", "effects"),
    [
        ([entry("a", 5, "b"), entry("b", 5, "a")], []),
        ([entry("a", 5, "a")], []),
        ([entry("a", 5, "c")], [entry("b", 4, "a"), entry("c", 3, "b")]),
    ],
)
def test_a_circle_of_causes_comes_to_an_end(new: Sequence[Entry], effects: Sequence[Entry]) -> None:
    assert {each.id for each in placed(new, {}, effects)} >= {each.id for each in new}
