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

CANCELLATION: dict[str, Any] = {"reason": "the customer withdrew"}

URGENT: dict[str, Any] = {"priority": "URGENT", "deadline": "2027-02-15T12:00:00Z"}

QUANTITIES: dict[str, Any] = {"lines": [{"line_id": "10", "quantity": 40}]}

REBASE: dict[str, Any] = {"from_execution": 51, "by": "m.keller", "reason": "stronger weld after the recall"}

UNSTICKING: dict[str, Any] = {"decision": "RETRY"}
