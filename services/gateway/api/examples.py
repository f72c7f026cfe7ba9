"""Bodies as clients send them, for the OpenAPI document: a small piece of a bicycle factory."""

from typing import Any

DEVICE_TYPE: dict[str, Any] = {"device_type": "WELDER", "name": "Welding cell"}

RECIPE: dict[str, Any] = {
    "recipe_code": "FRAME",
    "name": "Bicycle frame",
    "steps": [
        {"step": 1, "name": "Cut tubes", "device_type": "CUTTER", "expected_seconds": 40},
        {"step": 2, "name": "Weld", "device_type": "WELDER", "expected_seconds": 90, "parameters": {"amperes": 120}},
        {"step": 3, "name": "Check", "device_type": "INSPECTOR", "expected_seconds": 15, "depends_on": [2]},
    ],
}

PRODUCT: dict[str, Any] = {
    "product_code": "CITY-BIKE",
    "name": "City bicycle",
    "recipes": [{"recipe_code": "FRAME", "quantity": 1}, {"recipe_code": "WHEEL", "quantity": 2}],
}

ORDER: dict[str, Any] = {
    "order_id": "PO-1001",
    "revision": 1,
    "lines": [{"line_id": "10", "product_code": "CITY-BIKE", "quantity": 25}],
    "priority": "HIGH",
    "deadline": "2027-03-01T12:00:00Z",
    "auto_activate": True,
    "customer_ref": "Spring campaign",
}

WEBHOOK: dict[str, Any] = {"url": "https://hooks.example.com/factory", "events": ["projects.project.*"]}

CANCELLATION: dict[str, Any] = {"reason": "the customer withdrew"}

URGENT: dict[str, Any] = {"priority": "URGENT", "deadline": "2027-02-15T12:00:00Z"}

QUANTITIES: dict[str, Any] = {"lines": [{"line_id": "10", "quantity": 40}]}

REBASE: dict[str, Any] = {"from_execution": 51, "by": "m.keller", "reason": "stronger weld after the recall"}

UNSTICKING: dict[str, Any] = {"decision": "RETRY"}

WORD: dict[str, Any] = {"by": "m.keller", "reason": "the fixture is bent"}

RELEASE: dict[str, Any] = {"by": "m.keller"}

CORRECTION: dict[str, Any] = {"by": "m.keller", "reason": "the seam was measured again", "outcome": "SCRAP"}

MAINTENANCE: dict[str, Any] = {
    "kind": "MAINTENANCE",
    "from": "2027-02-01T06:00:00Z",
    "to": "2027-02-01T10:00:00Z",
    "by": "m.keller",
    "reason": "yearly service",
}

FOR_AN_ORDER: dict[str, Any] = {
    "reservation_id": "SPRING-1",
    "kind": "ORDER",
    "project_id": "PO-1001-2d9a4c11f0b7",
    "from": "2027-02-01T10:00:00Z",
    "to": "2027-02-01T18:00:00Z",
    "by": "m.keller",
}

CALENDAR: dict[str, Any] = {
    "timezone": "Europe/Berlin",
    "shifts": [
        {"days": ["MON", "TUE", "WED", "THU", "FRI"], "from": "06:00", "to": "14:00"},
        {"days": ["MON", "TUE", "WED", "THU"], "from": "22:00", "to": "06:00"},
    ],
    "exceptions": [{"date": "2027-05-06", "shifts": []}],
    "by": "m.keller",
}

REPLAY: dict[str, Any] = {"by": "m.keller", "reason": "the recipe is published now"}

EDITED: dict[str, Any] = {
    "value": {
        "task_id": "PO-1001-2d9a4c11f0b7/10/FRAME/1/2",
        "fence": 1,
        "device_id": "W-1",
        "project_id": "PO-1001-2d9a4c11f0b7",
        "outcome": "GOOD",
        "at": "2027-02-01T08:15:30Z",
    },
    "headers": {"ce_type": "device.task.completed.v1"},
    "by": "m.keller",
    "reason": "the gateway wrote the time without an offset",
}

DISCARD: dict[str, Any] = {"by": "m.keller", "reason": "a test of the gateway's supplier"}

REPLAY_SEVERAL: dict[str, Any] = {
    "where": {"topic": "devices.reports.v1", "error": "Unreadable"},
    "expected": 12,
    "by": "m.keller",
}

STATUS: dict[str, Any] = {
    "online": {"type": "device.online.v1", "data": {"device_type": "WELDER", "slots": 2}},
    "heartbeat": {
        "type": "device.heartbeat.v1",
        "data": {"leases": [{"task_id": "PO-1001-2d9a4c11f0b7/10/FRAME/1/2", "fence": 1}]},
    },
    "state-changed": {
        "specversion": "1.0",
        "type": "device.state-changed.v1",
        "source": "/gateways/hall-3",
        "id": "4711",
        "time": "2027-02-01T08:15:30Z",
        "data": {"device_id": "W-1", "state": "DOWN", "reason": "the wire is used up"},
    },
}

_COMPLETED: dict[str, Any] = {
    "type": "device.task.completed.v1",
    "data": {
        "task_id": "PO-1001-2d9a4c11f0b7/10/FRAME/1/2",
        "fence": 1,
        "project_id": "PO-1001-2d9a4c11f0b7",
        "outcome": "GOOD",
        "at": "2027-02-01T08:15:30Z",
    },
}

REPORTS: dict[str, Any] = {
    "completed": _COMPLETED,
    "several": [
        {
            "type": "device.task.failed.v1",
            "source": "/gateways/hall-3",
            "id": "4712",
            "data": {
                "task_id": "PO-1001-2d9a4c11f0b7/10/FRAME/2/2",
                "fence": 3,
                "project_id": "PO-1001-2d9a4c11f0b7",
                "at": "2027-02-01T08:15:20Z",
                "reason": "the arc went out",
            },
        },
        _COMPLETED,
    ],
}

DISCARD_SEVERAL: dict[str, Any] = {
    "where": {"topic": "devices.reports.v1", "type": "device.task.paused.v1"},
    "expected": 240,
    "reason": "no device needs an answer to these",
}
