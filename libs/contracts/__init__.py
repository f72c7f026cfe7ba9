"""The wire: every message that crosses a process boundary, one module per owning service.

Importing this package registers all of them; `libs.contracts.base.all_messages()` lists them.
"""

from libs.contracts import (
    by_hand,
    catalog,
    devices,
    equipment,
    erp,
    execution,
    explanation,
    projects,
    reservations,
    snapshot,
    task_generation,
)

__all__ = [
    "by_hand",
    "catalog",
    "devices",
    "equipment",
    "erp",
    "execution",
    "explanation",
    "projects",
    "reservations",
    "snapshot",
    "task_generation",
]
